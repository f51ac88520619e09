package check

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
)

const chartDir = "../helm/shop-connect"

type values = map[string]any

// needed is the least that must be set.
func needed() values {
	return values{
		"servers":        values{"kafkaBrokers": "kafka-1:9092,kafka-2:9092", "s3Endpoint": "https://s3.example.org", "s3Region": "eu-1"},
		"existingSecret": "shop",
	}
}

// everything turns on what is off by default.
func everything() values {
	all := needed()
	all["existingSecret"] = ""
	all["externalSecret"] = values{"enabled": true, "store": values{"name": "vault"}, "key": "shop/production"}
	all["autoscaling"] = values{"enabled": true}
	all["serviceMonitor"] = values{"enabled": true, "labels": values{"release": "prometheus"}}
	all["ingress"] = values{"enabled": true, "host": "shop.example.org", "tlsSecret": "shop-tls", "className": "nginx"}
	all["pipelines"] = values{"configMap": "our-streams"}
	all["extraEnv"] = values{"LOG_LEVEL": "DEBUG"}
	return all
}

func render(set values) (map[string]string, error) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		return nil, err
	}
	merged, err := chartutil.ToRenderValues(chart, set, chartutil.ReleaseOptions{Name: "shop", Namespace: "shops"}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, merged)
}

// documents are the objects of the rendered templates by kind and name.
func documents(t *testing.T, set values) map[string][]byte {
	t.Helper()
	files, err := render(set)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for name, text := range files {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for document := range strings.SplitSeq(text, "\n---\n") {
			var object struct {
				Kind     string
				Metadata struct{ Name string }
			}
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, document)
			}
			if object.Kind != "" {
				found[object.Kind+"/"+object.Metadata.Name] = []byte(document)
			}
		}
	}
	return found
}

func TestTheChartPassesHelmsLinter(t *testing.T) {
	for _, set := range []values{needed(), everything()} {
		result := action.NewLint().Run([]string{chartDir}, set)
		for _, message := range result.Messages {
			if message.Severity > 1 { // above information, such as a missing icon
				t.Error(message)
			}
		}
		for _, err := range result.Errors {
			t.Error(err)
		}
	}
}

// Kubernetes' own types refuse a field that they do not know, a value of another type, and a field that is there twice.
func TestEveryObjectIsOneThatKubernetesKnows(t *testing.T) {
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	for _, set := range []values{needed(), everything()} {
		for name, document := range documents(t, set) {
			if kind, _, _ := strings.Cut(name, "/"); kind == "ServiceMonitor" || kind == "ExternalSecret" {
				continue // of operators; see below
			}
			if _, _, err := decoder.Decode(document, nil, nil); err != nil {
				t.Errorf("%s: %v\n%s", name, err, document)
			}
		}
	}
}

func TestWhatIsTurnedOnIsThere(t *testing.T) {
	want := []string{
		"Deployment/shop-shop-connect", "ExternalSecret/shop-shop-connect", "HorizontalPodAutoscaler/shop-shop-connect", "Ingress/shop-shop-connect",
		"Job/shop-shop-connect-provision", "NetworkPolicy/shop-shop-connect", "PodDisruptionBudget/shop-shop-connect", "Service/shop-shop-connect",
		"Service/shop-shop-connect-probes", "ServiceAccount/shop-shop-connect", "ServiceMonitor/shop-shop-connect",
	}
	if got := slices.Sorted(maps.Keys(documents(t, everything()))); !slices.Equal(got, want) {
		t.Errorf("the objects are\n%v, want\n%v", got, want)
	}
}

// The operators' types are not Kubernetes' own: what matters of them is looked at here.
func TestTheObjectsOfOperatorsLeadToWhatIsThere(t *testing.T) {
	objects := documents(t, everything())
	var monitor struct {
		Spec struct {
			Selector  struct{ MatchLabels map[string]string }
			Endpoints []struct{ Port, Path, Interval string }
		}
	}
	decode(t, objects["ServiceMonitor/shop-shop-connect"], &monitor)
	var service struct {
		Metadata struct{ Labels map[string]string }
		Spec     struct{ Ports []struct{ Name string } }
	}
	decode(t, objects["Service/shop-shop-connect-probes"], &service)
	for label, value := range monitor.Spec.Selector.MatchLabels {
		if service.Metadata.Labels[label] != value {
			t.Errorf("the monitor selects %s=%s, the service has %q", label, value, service.Metadata.Labels[label])
		}
	}
	if len(monitor.Spec.Endpoints) != 1 || monitor.Spec.Endpoints[0].Port != service.Spec.Ports[0].Name {
		t.Errorf("the monitor asks %v of ports %v", monitor.Spec.Endpoints, service.Spec.Ports)
	}
	var external struct {
		Spec struct {
			Target   struct{ Name string }
			DataFrom []struct{ Extract struct{ Key string } }
		}
	}
	decode(t, objects["ExternalSecret/shop-shop-connect"], &external)
	if !strings.Contains(string(objects["Deployment/shop-shop-connect"]), "secretRef: { name: "+external.Spec.Target.Name+" }") {
		t.Errorf("the deployment does not use secret %s", external.Spec.Target.Name)
	}
}

func decode(t *testing.T, document []byte, into any) {
	t.Helper()
	if err := yaml.NewDecoder(bytes.NewReader(document)).Decode(into); err != nil {
		t.Fatal(err)
	}
}

func TestWrongValuesAreRefusedWithAReason(t *testing.T) {
	for name, c := range map[string]struct {
		change func(values)
		want   string
	}{
		"no secret":                {func(v values) { v["existingSecret"] = "" }, "there is no secret"},
		"no brokers":               {func(v values) { v["servers"].(values)["kafkaBrokers"] = "" }, "kafkaBrokers"},
		"an endpoint without http": {func(v values) { v["servers"].(values)["s3Endpoint"] = "s3:9000" }, "s3Endpoint"},
		"a misspelt server":        {func(v values) { v["servers"].(values)["kafka"] = "x:1" }, "kafka"},
		"no replicas":              {func(v values) { v["replicas"] = 0 }, "replicas"},
		"an ingress for nothing":   {func(v values) { v["ingress"] = values{"enabled": true} }, "ingress.host"},
		"no stream at all":         {func(v values) { v["pipelines"] = values{"replace": true} }, "pipelines.configMap"},
		"no vault":                 {func(v values) { v["externalSecret"] = values{"enabled": true} }, "externalSecret.store.name"},
	} {
		t.Run(name, func(t *testing.T) {
			set := needed()
			c.change(set)
			if _, err := render(set); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
