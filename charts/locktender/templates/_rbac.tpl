{{/*
What the operator may do, by concern. No verb on secrets, configmaps, pods/exec or nodes: Jobs take Secrets through their environment.
Logs are read for metrics and reports only; verdicts come from pod and Job status.
*/}}
{{- define "locktender.rbac.concerns" -}}
migrations:
  - apiGroups: [locktender.dev]
    resources: [databasemigrations]
    verbs: [get, list, watch, patch]
  - apiGroups: [locktender.dev]
    resources: [databasemigrations/status]
    verbs: [patch]
backups:
  - apiGroups: [locktender.dev]
    resources: [databasebackups]
    verbs: [create]
  - apiGroups: [locktender.dev]
    resources: [databasebackups/status]
    verbs: [patch]
reports:
  - apiGroups: [locktender.dev]
    resources: [migrationreports]
    verbs: [get, list, create, delete]
  - apiGroups: [""]
    resources: [pods/log]
    verbs: [get]
jobs:
  - apiGroups: [batch]
    resources: [jobs]
    verbs: [get, list, watch, create, patch, delete]
  - apiGroups: [""]
    resources: [pods]
    verbs: [list, watch]
gate:
  - apiGroups: [apps]
    resources: [deployments]
    verbs: [get, list, watch, patch]
  - apiGroups: [locktender.dev]
    resources: [databasemigrations]
    verbs: [release]
events:
  - apiGroups: [events.k8s.io]
    resources: [events]
    verbs: [create]
{{- end }}

{{- define "locktender.rbac.subject" -}}
- kind: ServiceAccount
  name: {{ include "locktender.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
