{{- /* What the operator's pod and the pods of Jobs share: flags, environment, files. A capture runs the same in both. */}}

{{- /* "true" if captures may run in Jobs, else nothing. */}}
{{- define "aletheia.runsJobs" -}}
{{- if ne .Values.runner.mode "inline" }}
{{- if not .Values.persistence.enabled }}
{{- fail "runner.mode: Jobs need a session volume that they can mount: persistence.enabled" }}
{{- end }}
{{- if and (has "ReadWriteOncePod" .Values.persistence.accessModes) (not .Values.persistence.existingClaim) }}
{{- fail "runner.mode: only one pod can mount a volume with ReadWriteOncePod in persistence.accessModes" }}
{{- end }}
{{- print "true" }}
{{- end }}
{{- end }}

{{- /* Name of the PodTemplate of Jobs, and of their ServiceAccount. */}}
{{- define "aletheia.captureName" -}}
{{- printf "%s-capture" (include "aletheia.fullname" . | trunc 55 | trimSuffix "-") }}
{{- end }}

{{- /* "true" if the CA of the kubelets' certificates is mounted. */}}
{{- define "aletheia.mountsKubeletCA" -}}
{{- $node := .Values.nodeLogs }}
{{- $verified := and $node.enabled (not $node.insecureTLS) (not $node.certificateAuthority) }}
{{- if and $verified (or $node.certificateAuthorityFrom.configMap $node.certificateAuthorityFrom.secret) }}true{{ end }}
{{- end }}

{{- /* Annotations with the digests of files that are read at the start. */}}
{{- define "aletheia.checksums" -}}
{{- with .Values.metricTemplates }}
checksum/metric-templates: {{ toYaml . | sha256sum }}
{{- end }}
{{- with .Values.findings.rules }}
checksum/finding-rules: {{ toYaml . | sha256sum }}
{{- end }}
{{- end }}

{{- define "aletheia.captureArguments" -}}
- --session-root=/var/lib/aletheia
{{- range .Values.namespaces }}
- --namespace={{ . }}
{{- end }}
{{- with .Values.defaultServiceAccount }}
- --default-service-account={{ . }}
{{- end }}
{{- if .Values.impersonation.trustCreators }}
- --trust-creators
{{- else if .Values.admissionPolicy.enabled }}
- --creator-policy={{ include "aletheia.creatorPolicy" . }}
{{- end }}
{{- if not .Values.statusLogText }}
- --no-log-text-in-status
{{- end }}
- --redaction-level={{ .Values.redaction.level }}
{{- if .Values.redaction.allowOff }}
- --redaction-allow-off
{{- end }}
{{- range .Values.redaction.rules }}
- {{ printf "--redaction-rule=%s=%s" .name (replace "$" "$$" .pattern) | quote }}
{{- end }}
- --max-timeout-seconds={{ include "aletheia.amount" .Values.maxTimeoutSeconds }}
- --max-fetches={{ int64 .Values.maxFetches }}
- --max-artifact-bytes={{ include "aletheia.amount" .Values.maxArtifactBytes }}
{{- with include "aletheia.amount" .Values.maxSessionBytes }}
- --max-session-bytes={{ . }}
{{- end }}
{{- with include "aletheia.amount" .Values.maxNamespaceBytes }}
- --max-namespace-bytes={{ . }}
{{- end }}
- --max-namespace-bytes-in-flight={{ include "aletheia.amount" .Values.bytesInFlight.namespace | default 0 }}
- --max-bytes-in-flight={{ include "aletheia.amount" .Values.bytesInFlight.total | default 0 }}
- --namespace-api-requests={{ int64 .Values.requestsPerSecond.namespaceApi }}
- --api-requests={{ int64 .Values.requestsPerSecond.api }}
- --namespace-source-requests={{ int64 .Values.requestsPerSecond.namespaceDataSource }}
- --source-requests={{ int64 .Values.requestsPerSecond.dataSource }}
{{- if not .Values.persistence.existingClaim }}
- --volume-size={{ .Values.persistence.size }}
{{- end }}
- --namespace-share={{ trimSuffix "%" .Values.volume.namespaceShare }}
{{- if or .Values.caBundle.configMap .Values.caBundle.secret }}
- --ca-bundle=/etc/aletheia-ca/ca.crt
{{- end }}
{{- with .Values.proxy.url }}
- --proxy={{ . }}
{{- range $.Values.proxy.noProxy }}
- --no-proxy={{ . }}
{{- end }}
{{- end }}
{{- if .Values.nodeLogs.enabled }}
- --node-logs
{{- if .Values.nodeLogs.insecureTLS }}
- --kubelet-insecure-tls
{{- else if .Values.nodeLogs.certificateAuthority }}
- --kubelet-certificate-authority={{ .Values.nodeLogs.certificateAuthority }}
{{- else if include "aletheia.mountsKubeletCA" . }}
- --kubelet-certificate-authority=/etc/aletheia-kubelet-ca/ca.crt
{{- end }}
{{- end }}
- --identity={{ .Release.Namespace }}/{{ include "aletheia.fullname" . }}
- --operator-namespace={{ .Release.Namespace }}
{{- if or (include "aletheia.elects" .) (include "aletheia.runsJobs" .) }}
- --lease-seconds={{ int .Values.leaderElection.leaseSeconds }}
{{- end }}
{{- if .Values.metricTemplates }}
- --metric-templates=/etc/aletheia/metric-templates.yaml
{{- end }}
{{- if .Values.findings.rules }}
- --finding-rules=/etc/aletheia-findings/finding-rules.yaml
{{- end }}
- --log-format={{ .Values.logFormat }}
- --log-level={{ .Values.logLevel }}
{{- end }}

{{- define "aletheia.captureEnvironment" -}}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "aletheia.captureMounts" -}}
- name: sessions
  mountPath: /var/lib/aletheia
- name: tmp
  mountPath: /tmp
{{ include "aletheia.tokenMount" . }}
{{- if .Values.metricTemplates }}
- name: metric-templates
  mountPath: /etc/aletheia
  readOnly: true
{{- end }}
{{- if .Values.findings.rules }}
- name: finding-rules
  mountPath: /etc/aletheia-findings
  readOnly: true
{{- end }}
{{- if include "aletheia.mountsKubeletCA" . }}
- name: kubelet-ca
  mountPath: /etc/aletheia-kubelet-ca
  readOnly: true
{{- end }}
{{- if or .Values.caBundle.configMap .Values.caBundle.secret }}
- name: ca-bundle
  mountPath: /etc/aletheia-ca
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "aletheia.captureVolumes" -}}
- name: sessions
  {{- if .Values.persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ include "aletheia.claimName" . }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ .Values.persistence.size }}
  {{- end }}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.tmpSize }}
{{- if .Values.metricTemplates }}
- name: metric-templates
  configMap:
    name: {{ include "aletheia.fullname" . | trunc 46 | trimSuffix "-" }}-metric-templates
{{- end }}
{{- if .Values.findings.rules }}
- name: finding-rules
  configMap:
    name: {{ include "aletheia.fullname" . | trunc 46 | trimSuffix "-" }}-finding-rules
{{- end }}
{{- if include "aletheia.mountsKubeletCA" . }}
- name: kubelet-ca
  {{- include "aletheia.pem" .Values.nodeLogs.certificateAuthorityFrom | nindent 2 }}
{{- end }}
{{- if or .Values.caBundle.configMap .Values.caBundle.secret }}
- name: ca-bundle
  {{- include "aletheia.pem" .Values.caBundle | nindent 2 }}
{{- end }}
{{ include "aletheia.token" . }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Volume source with the file ca.crt. Takes a dict of configMap or secret, and key. */}}
{{- define "aletheia.pem" -}}
{{- if .configMap -}}
configMap:
  name: {{ .configMap }}
{{- else -}}
secret:
  secretName: {{ .secret }}
{{- end }}
  items:
    - key: {{ .key }}
      path: ca.crt
{{- end }}
