{{/*
The gate's CEL variables, the same in every object that needs them. They read only the old and the new Deployment, so the order in
which objects are applied cannot matter.

- gate: the DatabaseMigration whose verbs count. While an object leaves or changes its gate it is still the old one.
- newKey, oldKey: K, the ordered images of initContainers and containers and the template annotation locktender.dev/key.
- released, bypassed: a verb is not enough, since cluster-admin and most GitOps controllers hold every verb. The request must also
  say so, by an annotation that it sets to a new value, and that ends in the generation of the very object that it opens: what an
  export or a restored backup carries can never be such a word. A CREATE has no generation and is always held.
- stray: a hold on a write that changes nothing. Another webhook wrote the images back after they were held (a tag to the digest that
  serves already), or somebody forged the marks. It is lifted: the gate judges the images that are stored.
- mustAsk: when the carrier is asked at all. What is held already needs nobody. The object shows what to do then: one that is marked
  and paused is stray, any other has to be held.

Optional syntax everywhere: a missing map is an error in CEL, and an error denies. In && and || what costs least and decides most comes
first: the rest is not evaluated. The authorizer is asked only about a word that is new and right.
*/}}
{{- define "locktender.gate.variables" -}}
- name: oldLabels
  expression: "oldObject == null ? {} : oldObject.metadata.?labels.orValue({})"
- name: newLabels
  expression: "object.metadata.?labels.orValue({})"
- name: oldAnnotations
  expression: "oldObject == null ? {} : oldObject.metadata.?annotations.orValue({})"
- name: newAnnotations
  expression: "object.metadata.?annotations.orValue({})"
- name: gate
  expression: >-
    variables.oldLabels[?'locktender.dev/gate'].orValue(variables.newLabels[?'locktender.dev/gate'].orValue(''))
- name: newKey
  expression: >-
    {{ include "locktender.gate.key" "object" }}
- name: oldKey
  expression: >-
    oldObject == null ? [] : {{ include "locktender.gate.key" "oldObject" }}
- name: keyChanged
  expression: "variables.newKey != variables.oldKey"
- name: held
  expression: "variables.oldAnnotations[?'locktender.dev/held'].orValue('') == 'true'"
- name: marked
  expression: "variables.newAnnotations[?'locktender.dev/held'].orValue('') == 'true'"
- name: paused
  expression: "object.spec.?paused.orValue(false)"
- name: gated
  expression: "'locktender.dev/gate' in variables.newLabels"
- name: atGeneration
  expression: "oldObject == null ? '' : '@' + string(oldObject.metadata.?generation.orValue(0))"
- name: releaseNote
  expression: "variables.newAnnotations[?'locktender.dev/released'].orValue('')"
- name: released
  expression: >-
    variables.held && variables.releaseNote != variables.oldAnnotations[?'locktender.dev/released'].orValue('') &&
    variables.releaseNote.endsWith(variables.atGeneration) &&
    {{ include "locktender.gate.allowed" "release" }}
- name: bypassReason
  expression: "variables.newAnnotations[?'locktender.dev/bypass'].orValue('')"
- name: bypassAsked
  expression: >-
    variables.bypassReason != variables.oldAnnotations[?'locktender.dev/bypass'].orValue('') && oldObject != null &&
    variables.bypassReason.endsWith(variables.atGeneration) && variables.bypassReason.trim() != variables.atGeneration
- name: bypassed
  expression: >-
    variables.bypassAsked && {{ include "locktender.gate.allowed" "bypass" }}
- name: mustHold
  expression: >-
    variables.gated && (variables.keyChanged || (variables.held && !variables.released)) && !variables.bypassed
- name: stray
  expression: >-
    variables.paused && variables.marked && oldObject != null && !variables.held && variables.gated && !variables.keyChanged
- name: mustAsk
  expression: >-
    (variables.paused && variables.marked) ? variables.stray : variables.mustHold
{{- end }}

{{- define "locktender.gate.key" -}}
{{ . }}.spec.template.spec.?initContainers.orValue([]).map(c, c.?image.orValue('')) + {{ . }}.spec.template.spec.?containers.orValue([]).map(c, c.?image.orValue('')) + [{{ . }}.spec.template.?metadata.?annotations.orValue({})[?'locktender.dev/key'].orValue('')]
{{- end }}

{{- define "locktender.gate.allowed" -}}
authorizer.group('locktender.dev').resource('databasemigrations').namespace(request.namespace).name(variables.gate).check('{{ . }}').allowed()
{{- end }}

{{- /* With the resources that are matched: the backstop sees the status too. */ -}}
{{- define "locktender.gate.matchConstraints" -}}
resourceRules:
  - apiGroups: [apps]
    apiVersions: [v1]
    operations: [CREATE, UPDATE]
    resources: {{ . }}
objectSelector:
  matchExpressions:
    - key: locktender.dev/gate
      operator: Exists
{{- end }}

{{/* Deployments in namespaces that nobody watches would be held for ever. */}}
{{- define "locktender.gate.matchResources" -}}
{{- with .Values.watch.namespaces }}
matchResources:
  namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values: {{ toJson . }}
{{- end }}
{{- end }}

{{/*
What carries the mutating half: "policy", "webhook" or "policy webhook".

auto asks the API server for MutatingAdmissionPolicy. Where nobody could ask (`helm template` without --api-versions), the version of
Kubernetes decides: the kind is served from 1.36 on. While the webhook is what holds, the policy is added first and the webhook goes
with the next upgrade, so that one of the two is always in force.
*/}}
{{- define "locktender.gate.carriers" -}}
{{- $policy := "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" }}
{{- if not .Values.gate.enabled }}
{{- else if eq .Values.gate.carrier "both" }}policy webhook
{{- else if ne .Values.gate.carrier "auto" }}{{ .Values.gate.carrier }}
{{- else if not (.Capabilities.APIVersions.Has "apps/v1/Deployment" | ternary (.Capabilities.APIVersions.Has $policy) (semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version)) }}webhook
{{- else if and (include "locktender.gate.webhookServes" .) (not (lookup "admissionregistration.k8s.io/v1" "MutatingAdmissionPolicy" "" "gate.locktender.dev")) }}policy webhook
{{- else }}policy
{{- end }}
{{- end }}

{{/*
Not empty where the webhook's server has to run: with its configuration, and until that is gone from the cluster. Helm deletes the server
before the configuration, so the two may not go in the same upgrade.
*/}}
{{- define "locktender.gate.server" -}}
{{- if contains "webhook" (include "locktender.gate.carriers" .) }}yes{{ else }}{{ include "locktender.gate.webhookServes" . }}{{ end }}
{{- end }}

{{/* Not empty where the server makes its own certificates. */}}
{{- define "locktender.gate.ownCertificate" -}}
{{- if eq .Values.gate.webhook.certificate.mode "self" }}{{ include "locktender.gate.server" . }}{{ end }}
{{- end }}

{{/* Not empty while the cluster's webhook configuration sends its requests to this release. */}}
{{- define "locktender.gate.webhookServes" -}}
{{- range (lookup "admissionregistration.k8s.io/v1" "MutatingWebhookConfiguration" "" "gate.locktender.dev").webhooks }}
{{- with .clientConfig.service }}
{{- if and (eq .name (include "locktender.gate.fullname" $)) (eq .namespace $.Release.Namespace) }}yes{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{/*
mustAsk as the carrier's matchCondition, which knows no variables: each is replaced by its expression, the last one first, because an
expression may use those before it. A policy without it would write and read the whole object as JSON, twice, for every write of a
gated Deployment.
*/}}
{{- define "locktender.gate.matchConditions" -}}
{{- $expression := "variables.mustAsk" }}
{{- range include "locktender.gate.variables" . | fromYamlArray | reverse }}
{{- $expression = regexReplaceAllLiteral (printf "\\bvariables\\.%s\\b" .name) $expression (printf "(%s)" .expression) }}
{{- end }}
- name: must-ask
  expression: {{ toJson $expression }}
{{- end }}

{{- define "locktender.gate.fullname" -}}
{{ include "locktender.fullname" . }}-gate-webhook
{{- end }}

{{/* The Secret of the server's own authority, and the ConfigMap of its public half. */}}
{{- define "locktender.gate.authority" -}}
{{ include "locktender.fullname" . }}-gate-ca
{{- end }}

{{/* Where the operator finds what the gate's objects should be. */}}
{{- define "locktender.guard.configMap" -}}
{{ include "locktender.fullname" . }}-gate
{{- end }}
