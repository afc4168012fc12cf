package webhook

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-dev/sluice/api/v1beta1"
)

// config builds one side of a request from changes to a tracked ConfigMap with one key, which was stamped when jane wrote it.
func config(t *testing.T, changes ...func(*corev1.ConfigMap)) *Config {
	t.Helper()
	c := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "page", Labels: map[string]string{v1beta1.LabelTracked: v1beta1.TrackedConfig, "team": "a"}},
		Data:       map[string]string{"color": "blue"},
	}
	c.Annotations = map[string]string{v1beta1.AnnotationAdmitted: v1beta1.Admitted{By: "jane", Digest: "d1"}.String()}
	for _, change := range changes {
		change(c)
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out, err := readConfig("ConfigMap", runtime.RawExtension{Raw: raw})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func color(c string) func(*corev1.ConfigMap) {
	return func(m *corev1.ConfigMap) { m.Data = map[string]string{"color": c} }
}

func annotated(key, value string) func(*corev1.ConfigMap) {
	return func(m *corev1.ConfigMap) { m.Annotations[key] = value }
}

func bare(m *corev1.ConfigMap) { m.Labels, m.Annotations = nil, nil }

func user(name string, stage v1beta1.Stage, fence bool) ConfigUser {
	c := canary("test", name)
	c.Status.Phase = v1beta1.PhaseSucceeded
	if stage != "" {
		c.Status.Phase, c.Status.Rollout = v1beta1.PhaseProgressing, &v1beta1.RolloutStatus{Stage: stage}
	}
	return ConfigUser{Canary: c, Fence: fence}
}

func names(canaries []*v1beta1.Canary) string {
	var out []string
	for _, c := range canaries {
		out = append(out, c.Name)
	}
	return strings.Join(out, " ")
}

func TestDecideConfig(t *testing.T) {
	type change = []func(*corev1.ConfigMap)
	direct := annotated(v1beta1.AnnotationRotation, v1beta1.RotationDirect)
	disabled := annotated(v1beta1.AnnotationConfigTracking, "disabled")
	immutable := func(m *corev1.ConfigMap) { m.Immutable = new(true) }
	left := user("left", v1beta1.StageAnalysing, true)
	left.Canary.Annotations = map[string]string{v1beta1.AnnotationLeave: "true"}
	idle, busy, other := user("idle", "", false), user("busy", v1beta1.StageAnalysing, true), user("other", v1beta1.StageSettling, false)
	starting := user("starting", "", false)
	starting.Canary.Status.Phase = v1beta1.PhaseInitializing
	for name, tt := range map[string]struct {
		operation admissionv1.Operation
		old, new  change
		users     []ConfigUser
		unsure    bool

		fence, snapshot string
		// warnings hold these texts, in this order.
		warnings []string
		// tracked and stamp ("same", "new" or "none") of the object that is stored.
		untracked bool
		stamp     string
	}{
		"nothing relevant": {users: []ConfigUser{busy}, stamp: "same"},
		"a change between rollouts": {new: change{color("red")}, users: []ConfigUser{idle}, snapshot: "idle", stamp: "new",
			warnings: []string{"starts a canary rollout of idle"}},
		"a change during a rollout": {new: change{color("red")}, users: []ConfigUser{busy}, fence: "busy", snapshot: "busy", stamp: "new",
			warnings: []string{"users leave the canary of busy before this change lands"}},
		"a change while the first one settles": {new: change{color("red")}, users: []ConfigUser{other}, snapshot: "other", stamp: "new",
			warnings: []string{"starts a canary rollout of other"}},
		"a change during the initialisation": {new: change{color("red")}, users: []ConfigUser{starting}, snapshot: "starting", stamp: "new",
			warnings: []string{"canary starting is being initialised"}},
		"a shared config": {new: change{color("red")}, users: []ConfigUser{idle, busy, left}, fence: "busy", snapshot: "idle busy", stamp: "new",
			warnings: []string{"users leave the canary of busy", "rollout of idle"}},
		"everybody leaves":             {new: change{color("red"), bare}, users: []ConfigUser{left}, untracked: true, stamp: "none"},
		"a replace without any change": {new: change{bare}, users: []ConfigUser{busy}, stamp: "same"},
		"a replace with a change": {new: change{bare, color("red")}, users: []ConfigUser{busy}, fence: "busy", snapshot: "busy", stamp: "new",
			warnings: []string{"users leave"}},
		"an immutable config": {old: change{immutable}, new: change{immutable, color("red")}, users: []ConfigUser{busy}, stamp: "same"},
		"a direct one passes": {old: change{direct}, new: change{direct, color("red")}, users: []ConfigUser{busy}, stamp: "new",
			warnings: []string{"ConfigMap page is not part of the revisions of canary busy: this change passes straight"}},
		"one that is opted out passes": {old: change{disabled}, new: change{disabled, color("red")}, users: []ConfigUser{busy}, stamp: "new",
			warnings: []string{"passes straight"}},
		"opting out keeps what the config was part of": {new: change{disabled}, users: []ConfigUser{busy}, snapshot: "busy", stamp: "same"},
		// The pods under analysis still read the original, and nobody has looked at what it is about to hold.
		"opting out with a change": {new: change{direct, color("red")}, users: []ConfigUser{busy}, fence: "busy", snapshot: "busy", stamp: "new",
			warnings: []string{"users leave"}},
		"opting in with a change": {old: change{direct}, new: change{color("red")}, users: []ConfigUser{busy}, fence: "busy", snapshot: "busy", stamp: "new",
			warnings: []string{"users leave"}},
		"deleted": {operation: admissionv1.Delete, users: []ConfigUser{idle, busy, left}, fence: "busy", snapshot: "idle busy",
			warnings: []string{"the target of canary busy references ConfigMap page: its content is kept", "canary idle references"}},
		"deleted, passing straight": {operation: admissionv1.Delete, old: change{direct}, users: []ConfigUser{busy}, warnings: []string{"references ConfigMap page"}},
		"created, awaited": {operation: admissionv1.Create, new: change{bare}, users: []ConfigUser{idle, busy}, fence: "busy", snapshot: "idle busy", stamp: "new",
			warnings: []string{"users leave the canary of busy", "rollout of idle"}},
		"created, of nobody's": {operation: admissionv1.Create, new: change{bare}, untracked: true, stamp: "none"},
		"left over":            {new: change{color("red")}, untracked: true, stamp: "same"},
		"perhaps left over":    {new: change{color("red")}, unsure: true, stamp: "same"},
		"deleted, of nobody's": {operation: admissionv1.Delete},
	} {
		t.Run(name, func(t *testing.T) {
			f := ConfigFacts{Operation: tt.operation, Users: tt.users, Unsure: tt.unsure, User: "john"}
			if f.Operation == "" {
				f.Operation = admissionv1.Update
			}
			if f.Operation != admissionv1.Create {
				f.Old = config(t, tt.old...)
			}
			if f.Operation != admissionv1.Delete {
				f.New = config(t, tt.new...)
			}
			out := DecideConfig(f)
			if names(out.Fence) != tt.fence || names(out.Snapshot) != tt.snapshot {
				t.Errorf("fences %q, snapshots %q; want %q and %q", names(out.Fence), names(out.Snapshot), tt.fence, tt.snapshot)
			}
			if !slices.EqualFunc(out.Warnings, tt.warnings, strings.Contains) {
				t.Errorf("warnings %q, want %q", out.Warnings, tt.warnings)
			}
			if f.New == nil {
				if len(out.Patches) > 0 {
					t.Errorf("patches %v on a deletion", out.Patches)
				}
				return
			}
			expectStored(t, f, out, !tt.untracked, tt.stamp)
		})
	}
}

// expectStored applies the patches and asks again with what they made of the object, as the API server may.
func expectStored(t *testing.T, f ConfigFacts, out ConfigOutcome, tracked bool, stamp string) {
	t.Helper()
	stored := after(t, f.New.Metadata, Outcome{Patches: out.Patches})
	if got := stored.GetLabels()[v1beta1.LabelTracked] == v1beta1.TrackedConfig; got != tracked {
		t.Errorf("labels %v, want the object tracked: %v", stored.GetLabels(), tracked)
	}
	want := map[string]string{"none": "", "same": v1beta1.Admitted{By: "jane", Digest: "d1"}.String(),
		"new": v1beta1.Admitted{By: "john", Digest: f.New.Content.Digest}.String()}[stamp]
	if got := stored.GetAnnotations()[v1beta1.AnnotationAdmitted]; got != want {
		t.Errorf("stamp %s, want %s", got, want)
	}
	again := f
	again.New = &Config{Metadata: stored, Content: f.New.Content, Immutable: f.New.Immutable}
	if out := DecideConfig(again); len(out.Patches) > 0 {
		t.Errorf("a second call patches again: %v", out.Patches)
	}
}

// What is on its way out goes, whatever is asked of it.
func TestDecideConfigLeavesDeletionsAlone(t *testing.T) {
	goes := func(m *corev1.ConfigMap) { m.DeletionTimestamp = new(metav1.Now()) }
	out := DecideConfig(ConfigFacts{Operation: admissionv1.Update, Old: config(t, goes), New: config(t, goes, color("red"), bare),
		Users: []ConfigUser{user("busy", v1beta1.StageAnalysing, true)}})
	if len(out.Patches)+len(out.Warnings)+len(out.Fence)+len(out.Snapshot) > 0 {
		t.Errorf("got %+v, want nothing", out)
	}
}

// A Secret that cannot be read is not quoted.
func TestUnreadableSecretIsNotQuoted(t *testing.T) {
	_, err := readConfig("Secret", runtime.RawExtension{Raw: []byte(`{"data":{"password":"not base64: hunter2"}}`)})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v, want one that quotes nothing", err)
	}
}

// Whoever has switched config tracking off is not disturbed, not even by a look at the cache.
func TestIgnoredConfigs(t *testing.T) {
	req := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Operation: admissionv1.Update, Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Secret"}}}
	for _, h := range []handler{configs{ignore: true}, verifyConfigs{configs{ignore: true}}} {
		if a, err := h.handle(t.Context(), req); err != nil || len(a.patches)+len(a.warnings)+len(a.denials) > 0 {
			t.Errorf("%T: %+v, error %v; want nothing", h, a, err)
		}
	}
}
