package supervisor

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/sluice-dev/sluice/e2e/cluster/internal/node"
	"github.com/sluice-dev/sluice/e2e/cluster/internal/state"
)

const etcdHealth = "http://127.0.0.1:2381/health"

// components lists the programs of the node. The order is that of their start;
// those with After wait for what they need.
func components(dir state.Dir, s Spec) []node.Component {
	kubernetes := func(name string) string { return filepath.Join(s.KubernetesDir, name) }
	key := func(name string) string { return dir.Path("pki", name) }
	config := func(name string) string { return dir.Path("config", name) }
	apiReady := insideServer + "/readyz"
	// By default these two send 20 and 50 requests a second, and a hundred
	// applications that roll out at once wait for that and nothing else.
	unthrottled := []string{"--kube-api-qps=300", "--kube-api-burst=600"}
	path := "PATH=" + s.ContainerdDir + ":" + filepath.Dir(s.Runc) + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:" + os.Getenv("PATH")
	list := []node.Component{
		{Name: "etcd", Argv: []string{
			kubernetes("etcd"),
			"--name=node",
			"--data-dir=" + dir.Data(),
			"--listen-client-urls=http://127.0.0.1:2379",
			"--advertise-client-urls=http://127.0.0.1:2379",
			"--listen-peer-urls=http://127.0.0.1:2380",
			"--initial-advertise-peer-urls=http://127.0.0.1:2380",
			"--initial-cluster=node=http://127.0.0.1:2380",
			"--listen-metrics-urls=http://127.0.0.1:2381",
			"--unsafe-no-fsync",
		}},
		{Name: "containerd", Argv: []string{filepath.Join(s.ContainerdDir, "containerd"), "--config=" + config("containerd.toml")}},
		{Name: "kube-apiserver", After: etcdHealth, Argv: apiServer(kubernetes("kube-apiserver"), key)},
		{Name: "kube-controller-manager", After: apiReady, Argv: append([]string{
			kubernetes("kube-controller-manager"),
			"--kubeconfig=" + config("controller-manager.kubeconfig"),
			"--controllers=*",
			"--leader-elect=false",
			"--use-service-account-credentials=true",
			"--service-account-private-key-file=" + key("service-accounts.key"),
			"--root-ca-file=" + key("ca.crt"),
			"--cluster-signing-cert-file=" + key("ca.crt"),
			"--cluster-signing-key-file=" + key("ca.key"),
			"--flex-volume-plugin-dir=" + dir.Path("root", "volume-plugins"),
		}, unthrottled...)},
		{Name: "kube-scheduler", After: apiReady, Argv: append([]string{
			kubernetes("kube-scheduler"),
			"--kubeconfig=" + config("scheduler.kubeconfig"),
			"--leader-elect=false",
		}, unthrottled...)},
		{Name: "kubelet", After: apiReady, Argv: []string{
			kubernetes("kubelet"),
			"--config=" + config("kubelet.json"),
			"--kubeconfig=" + config("kubelet.kubeconfig"),
			"--hostname-override=" + state.NodeName,
			"--node-ip=" + state.NodeIP,
		}},
		{Name: "kube-proxy", After: apiReady, Argv: []string{kubernetes("kube-proxy"), "--config=" + config("kube-proxy.json")}},
	}
	for i := range list {
		list[i].Env = []string{path}
		if list[i].Name == "kube-apiserver" {
			// Its heap is small and it allocates much: some memory saves processor time.
			list[i].Env = append(list[i].Env, "GOGC=400")
		}
	}
	return list
}

func apiServer(binary string, key func(string) string) []string {
	return []string{
		binary,
		"--etcd-servers=http://127.0.0.1:2379",
		"--advertise-address=" + state.NodeIP,
		fmt.Sprintf("--secure-port=%d", state.APIPort),
		"--service-cluster-ip-range=" + state.ServiceRange,
		"--allow-privileged=true",
		"--authorization-mode=Node,RBAC",
		"--client-ca-file=" + key("ca.crt"),
		"--tls-cert-file=" + key("apiserver.crt"),
		"--tls-private-key-file=" + key("apiserver.key"),
		"--service-account-issuer=https://kubernetes.default.svc." + state.ClusterDomain,
		"--service-account-key-file=" + key("service-accounts.pub"),
		"--service-account-signing-key-file=" + key("service-accounts.key"),
		// The node's name is not in any DNS: logs and exec go by address.
		"--kubelet-preferred-address-types=InternalIP",
		"--kubelet-certificate-authority=" + key("ca.crt"),
		"--kubelet-client-certificate=" + key("kubelet-client.crt"),
		"--kubelet-client-key=" + key("kubelet-client.key"),
		"--requestheader-client-ca-file=" + key("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + key("front-proxy-client.crt"),
		"--proxy-client-key-file=" + key("front-proxy-client.key"),
	}
}
