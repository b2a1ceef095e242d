{{- /* Adds the defaults of values that are missing: those that are new since the release, with `helm upgrade --reuse-values`, and those
that are set to null. Each template includes it first: it changes .Values, which all templates share. */}}
{{- define "aletheia.defaults" -}}
{{- $defaults := .Files.Get "files/defaults.yaml" | fromYaml }}
{{- /* null removes these on purpose */}}
{{- include "aletheia.fill" (list .Values (omit $defaults "resources" "podSecurityContext" "securityContext")) -}}
{{- end }}

{{- /* Adds what is missing in a dict of values. Takes (list VALUES DEFAULTS). */}}
{{- define "aletheia.fill" -}}
{{- $values := first . }}
{{- $whole := list "labels" "resources" "startup" "liveness" "readiness" }}{{- /* null removes fields of these on purpose */}}
{{- range $key, $default := last . }}
{{- $value := index $values $key }}
{{- if kindIs "invalid" $value }}
{{- $_ := set $values $key $default }}
{{- else if and (kindIs "map" $value) (kindIs "map" $default) (not (has $key $whole)) }}
{{- include "aletheia.fill" (list $value $default) }}
{{- end }}
{{- end }}
{{- end }}
