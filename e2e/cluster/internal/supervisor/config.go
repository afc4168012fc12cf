package supervisor

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/pki"
	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
)

// insideServer is the API server's address within the cluster's network.
var insideServer = fmt.Sprintf("https://127.0.0.1:%d", state.APIPort)

// issueKeys makes all keys and certificates.
func issueKeys(dir state.Dir, now time.Time) error {
	if err := os.MkdirAll(dir.Keys(), 0o700); err != nil {
		return fmt.Errorf("make the folder of keys: %w", err)
	}
	ca, err := pki.NewAuthority(dir.Keys(), "ca", now)
	if err != nil {
		return err
	}
	proxyCA, err := pki.NewAuthority(dir.Keys(), "front-proxy-ca", now)
	if err != nil {
		return err
	}
	if err := pki.KeyPair(dir.Keys(), "service-accounts"); err != nil {
		return err
	}
	if err := proxyCA.Issue("front-proxy-client", pki.Request{CommonName: "front-proxy-client"}); err != nil {
		return err
	}
	local := []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP(state.NodeIP)}
	for name, request := range map[string]pki.Request{
		"apiserver": {
			CommonName: "kube-apiserver",
			Names: []string{
				"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc." + state.ClusterDomain,
			},
			IPs: append(local, net.ParseIP(state.APIServiceIP)),
		},
		"kubelet-server":     {CommonName: state.NodeName, Names: []string{state.NodeName}, IPs: local},
		"kubelet-client":     {CommonName: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}},
		"admin":              {CommonName: "admin", Groups: []string{"system:masters"}},
		"controller-manager": {CommonName: "system:kube-controller-manager"},
		"scheduler":          {CommonName: "system:kube-scheduler"},
		"proxy":              {CommonName: "system:kube-proxy"},
		"kubelet":            {CommonName: "system:node:" + state.NodeName, Groups: []string{"system:nodes"}},
	} {
		if err := ca.Issue(name, request); err != nil {
			return err
		}
	}
	return nil
}

// kubeconfig renders a complete kubeconfig with everything embedded, so that
// the file can be copied anywhere on the machine.
func kubeconfig(dir state.Dir, user, server string) ([]byte, error) {
	files := map[string]string{}
	for _, name := range []string{"ca.crt", user + ".crt", user + ".key"} {
		data, err := os.ReadFile(dir.Path("pki", name))
		if err != nil {
			return nil, fmt.Errorf("kubeconfig of %s: %w", user, err)
		}
		files[name] = base64.StdEncoding.EncodeToString(data)
	}
	name := "sluice-" + dir.Name
	config := map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": name,
		"clusters": []any{map[string]any{"name": name, "cluster": map[string]any{
			"server": server, "certificate-authority-data": files["ca.crt"],
		}}},
		"users": []any{map[string]any{"name": name, "user": map[string]any{
			"client-certificate-data": files[user+".crt"], "client-key-data": files[user+".key"],
		}}},
		"contexts": []any{map[string]any{"name": name, "context": map[string]any{"cluster": name, "user": name}}},
	}
	data, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of %s: %w", user, err)
	}
	return append(data, '\n'), nil
}

// writeConfig writes every file that the components read.
func writeConfig(dir state.Dir, s Spec) error {
	for _, user := range []string{"admin", "controller-manager", "scheduler", "proxy", "kubelet"} {
		data, err := kubeconfig(dir, user, insideServer)
		if err != nil {
			return err
		}
		if err := state.WriteFile(dir.Path("config", user+".kubeconfig"), data); err != nil {
			return err
		}
	}
	for name, content := range map[string]string{
		"kubelet.json":         kubeletConfig(dir),
		"kube-proxy.json":      proxyConfig(dir),
		"containerd.toml":      containerdConfig(dir, s),
		"cni/10-pods.conflist": podNetworkConfig,
		// Pods that ask for the node's DNS get none: there is no way out.
		"resolv.conf": "nameserver 127.0.0.1\n",
	} {
		if err := state.WriteFile(dir.Path("config", name), []byte(content)); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(components(dir, s), "", "  ")
	if err != nil {
		return fmt.Errorf("write the components: %w", err)
	}
	return state.WriteFile(dir.Components(), data)
}

func toJSON(v any) string {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		// Only maps of strings, numbers and lists get here.
		panic(err)
	}
	return string(data) + "\n"
}

func kubeletConfig(dir state.Dir) string {
	return toJSON(map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": dir.Path("pki", "ca.crt")},
		},
		"authorization":            map[string]any{"mode": "Webhook"},
		"tlsCertFile":              dir.Path("pki", "kubelet-server.crt"),
		"tlsPrivateKeyFile":        dir.Path("pki", "kubelet-server.key"),
		"clusterDomain":            state.ClusterDomain,
		"clusterDNS":               []string{state.DNSServiceIP},
		"resolvConf":               dir.Path("config", "resolv.conf"),
		"containerRuntimeEndpoint": "unix://" + dir.ContainerdSocket(),
		"cgroupDriver":             "cgroupfs",
		"cgroupRoot":               dir.Cgroup(),
		"cgroupsPerQOS":            false,
		"enforceNodeAllocatable":   []string{},
		"failCgroupV1":             false,
		"failSwapOn":               false,
		"evictionHard":             map[string]string{},
		// Images cannot be pulled again, so they are never collected.
		"imageGCHighThresholdPercent":   100,
		"localStorageCapacityIsolation": false,
		"maxPods":                       200,
		"protectKernelDefaults":         true,
		"registerNode":                  true,
		"serializeImagePulls":           false,
		"syncFrequency":                 "10s",
		"volumePluginDir":               dir.Path("root", "volume-plugins"),
	})
}

func proxyConfig(dir state.Dir) string {
	return toJSON(map[string]any{
		"apiVersion":         "kubeproxy.config.k8s.io/v1alpha1",
		"kind":               "KubeProxyConfiguration",
		"mode":               "nftables",
		"hostnameOverride":   state.NodeName,
		"clusterCIDR":        state.PodNetwork,
		"clientConnection":   map[string]any{"kubeconfig": dir.Path("config", "proxy.kubeconfig")},
		"conntrack":          map[string]any{"maxPerCore": 0},
		"healthzBindAddress": "127.0.0.1:10256",
		"metricsBindAddress": "127.0.0.1:10249",
		// Traffic shifts are watched closely here; the default of a second
		// would blur them.
		"nftables": map[string]any{"minSyncPeriod": "100ms", "syncPeriod": "30s"},
	})
}

// podNetworkConfig routes between pods instead of bridging them: so traffic to
// service addresses passes the node's rules without further kernel modules.
const podNetworkConfig = `{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni-addresses",
        "ranges": [[{"subnet": "` + state.PodNetwork + `"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    }
  ]
}
`

func containerdConfig(dir state.Dir, s Spec) string {
	return fmt.Sprintf(`version = 3
root = %q
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = %q

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  enable_unprivileged_ports = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = [%q]
    conf_dir = %q
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      snapshotter = %q
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = %q
        SystemdCgroup = false

[plugins."io.containerd.cri.v1.images"]
  snapshotter = %q
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = %q
`, dir.Path("containerd"), dir.ContainerdSocket(), s.ContainerdDir, dir.Path("config", "cni"),
		s.Snapshotter, s.Runc, s.Snapshotter, s.PauseImage)
}
