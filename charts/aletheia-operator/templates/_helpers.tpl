{{- define "aletheia.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "aletheia.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := include "aletheia.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Name of an object that is cluster-scoped or in a namespace that other releases use too. A namespace's name contains no
dot, so `NAME.NAMESPACE` is unique to the release. Takes (list . "suffix"). */}}
{{- define "aletheia.clusterName" -}}
{{- $root := index . 0 }}
{{- $parts := prepend (compact (rest .)) (include "aletheia.fullname" $root) }}
{{- printf "%s.%s" (join "-" $parts) $root.Release.Namespace }}
{{- end }}

{{- define "aletheia.selectorLabels" -}}
app.kubernetes.io/name: {{ include "aletheia.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "aletheia.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "aletheia.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: aletheia
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with omit .Values.commonLabels "helm.sh/chart" "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/part-of" "app.kubernetes.io/managed-by" "app.kubernetes.io/component" }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The field `annotations` with an object's own and `commonAnnotations`; nothing if there are none. Takes (list . OWN INDENT);
OWN is a dict, which has precedence. */}}
{{- define "aletheia.annotations" -}}
{{- $root := index . 0 }}
{{- with merge (deepCopy (index . 1)) $root.Values.commonAnnotations }}
{{- dict "annotations" . | toYaml | nindent (int (index $ 2)) }}
{{- end }}
{{- end }}

{{- /* Annotations, as YAML, that keep an object if Helm uninstalls the release, or Argo CD or Flux prune it. */}}
{{- define "aletheia.kept" -}}
helm.sh/resource-policy: keep
argocd.argoproj.io/sync-options: Prune=false,Delete=false
kustomize.toolkit.fluxcd.io/prune: disabled
{{- end }}

{{- define "aletheia.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "aletheia.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- /* The image. `global.imageRegistry`, if set, replaces the registry in image.repository. */}}
{{- define "aletheia.image" -}}
{{- $repository := .Values.image.repository }}
{{- with .Values.global.imageRegistry }}
{{- $parts := splitList "/" $repository }}
{{- $first := first $parts }}
{{- if and (gt (len $parts) 1) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) }}
{{- $parts = rest $parts }}
{{- end }}
{{- $repository = printf "%s/%s" . (join "/" $parts) }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "aletheia.claimName" -}}
{{- .Values.persistence.existingClaim | default (printf "%s-sessions" (include "aletheia.fullname" .)) }}
{{- end }}

{{- /* "true" if a leader is elected, else nothing. */}}
{{- define "aletheia.elects" -}}
{{- $shared := has "ReadWriteMany" .Values.persistence.accessModes }}
{{- $enabled := toString .Values.leaderElection.enabled }}
{{- $several := gt (int .Values.replicas) 1 }}
{{- if and $several (eq $enabled "false") }}
{{- fail "replicas: more than one operator needs leaderElection.enabled" }}
{{- end }}
{{- if and $several (not (and .Values.persistence.enabled (or $shared .Values.persistence.existingClaim))) }}
{{- fail "replicas: more than one operator needs a session volume that several nodes can mount: ReadWriteMany in persistence.accessModes" }}
{{- end }}
{{- if or (eq $enabled "true") (and (eq $enabled "auto") (or $several $shared)) }}true{{ end }}
{{- end }}

{{- define "aletheia.artifactsName" -}}
{{- printf "%s-artifacts" (include "aletheia.fullname" . | trunc 53 | trimSuffix "-") }}
{{- end }}

{{- define "aletheia.artifactsSecret" -}}
{{- printf "%s-tls" (include "aletheia.artifactsName" .) }}
{{- end }}

{{- /* OpenShift's security context constraints choose user and groups for each namespace, and refuse others. */}}
{{- define "aletheia.podSecurityContext" -}}
{{- $context := .Values.podSecurityContext | default dict }}
{{- $detected := and (eq (toString .Values.openshift.enabled) "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1") }}
{{- if or $detected (eq (toString .Values.openshift.enabled) "true") }}
{{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" }}
{{- end }}
{{- include "aletheia.plain" $context }}
{{- end }}

{{- define "aletheia.containerSecurityContext" -}}
{{- include "aletheia.plain" (.Values.securityContext | default dict) }}
{{- end }}

{{- /* A number, or text with a unit (5Gi, 30m), as an argument of the operator. Empty for 0. */}}
{{- define "aletheia.amount" -}}
{{- if kindIs "string" . }}{{ ternary "" . (eq . "0") }}{{ else }}{{ with int64 . }}{{ . }}{{ end }}{{ end }}
{{- end }}

{{- /* YAML of a dict of values, with whole numbers as integers: values are floats, and 1000650000 would become 1.00065e+09. */}}
{{- define "aletheia.plain" -}}
{{- $copy := deepCopy . }}
{{- include "aletheia.wholeNumbers" $copy -}}
{{- toYaml $copy }}
{{- end }}

{{- define "aletheia.wholeNumbers" }}
{{- range $key, $value := . }}
{{- if kindIs "map" $value }}
{{- include "aletheia.wholeNumbers" $value }}
{{- else if and (kindIs "float64" $value) (eq $value (floor $value)) }}
{{- $_ := set $ $key (int64 $value) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Fields of the operator's pod, and of pods of hooks: identity, placement, names. */}}
{{- define "aletheia.pod" -}}
serviceAccountName: {{ include "aletheia.serviceAccountName" . }}
{{ include "aletheia.anyPod" . }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Fields that all pods of the chart share. */}}
{{- define "aletheia.anyPod" -}}
automountServiceAccountToken: false # `aletheia.token` mounts a token with a shorter lifetime
enableServiceLinks: false
{{- with concat .Values.global.imagePullSecrets .Values.image.pullSecrets | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "aletheia.podSecurityContext" . | nindent 2 }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The ServiceAccount's token, in the folder that clients read. The kubelet replaces it before it expires. The API server does not
extend its lifetime to a year, as it does for tokens that Kubernetes mounts by itself (3607 s). */}}
{{- define "aletheia.token" -}}
- name: token
  projected:
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: {{ int64 .Values.serviceAccount.tokenExpirationSeconds }}
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end }}

{{- define "aletheia.tokenMount" -}}
- name: token
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end }}
