{{- define "locktender.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "locktender.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "locktender.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "locktender.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* `release-all` finds the policies by app.kubernetes.io/name: it is the same in every release, whatever nameOverride says. */}}
{{- define "locktender.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "locktender.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "locktender.selectorLabels" -}}
app.kubernetes.io/name: locktender
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "locktender.operatorLabels" -}}
{{ include "locktender.selectorLabels" . }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "locktender.webhookLabels" -}}
{{ include "locktender.selectorLabels" . }}
app.kubernetes.io/component: gate-webhook
{{- end }}

{{- define "locktender.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "locktender.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.create is false, so name the ServiceAccount to use in serviceAccount.name" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Arguments: a list of the image's values and the default tag. */}}
{{- define "locktender.image" -}}
{{- $image := index . 0 }}
{{- $name := printf "%s:%s" $image.repository (default (index . 1) $image.tag) }}
{{- if $image.registry }}{{ $image.registry }}/{{ end }}{{ $name }}{{ if $image.digest }}@{{ $image.digest }}{{ end }}
{{- end }}

{{- define "locktender.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "locktender.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
privileged: false
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Arguments: a list of the root and the name of the template of the pods' labels. Without a labelSelector, these labels are added. */}}
{{- define "locktender.topologySpread" -}}
{{- $own := include (index . 1) (index . 0) | fromYaml }}
{{- with (index . 0).Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $selector := dict "labelSelector" (dict "matchLabels" $own) }}
  - {{- toYaml (hasKey . "labelSelector" | ternary . (mustMergeOverwrite $selector .)) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "locktender.scheduling" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
