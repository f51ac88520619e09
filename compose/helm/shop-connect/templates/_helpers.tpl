{{- define "shop-connect.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "shop-connect.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "shop-connect.labels" -}}
{{ include "shop-connect.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "shop-connect.secret" -}}
{{- if .Values.existingSecret }}{{ .Values.existingSecret }}
{{- else if .Values.externalSecret.enabled }}{{ include "shop-connect.name" . }}
{{- else }}{{ fail "there is no secret: set existingSecret, or externalSecret.enabled with a store and a key" }}
{{- end }}
{{- end }}

{{- define "shop-connect.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "shop-connect.env" -}}
- { name: KAFKA_BROKERS, value: {{ .Values.servers.kafkaBrokers | quote }} }
- { name: S3_ENDPOINT, value: {{ .Values.servers.s3Endpoint | quote }} }
- { name: S3_REGION, value: {{ .Values.servers.s3Region | quote }} }
- { name: SHOP_TIMEZONE, value: {{ .Values.timezone | quote }} }
{{- range $name, $value := .Values.extraEnv }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- end }}

{{- define "shop-connect.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
capabilities: { drop: [ALL] }
seccompProfile: { type: RuntimeDefault }
{{- end }}
