// Program argocd-engine does with Argo CD's own libraries what Argo CD does with one Application.
//
//	argocd-engine health DIRECTORY            run the Lua health rules below resource_customizations on the tests beside them
//	argocd-engine sync [flags] < MANIFESTS    sync manifests with a namespace once, as `argocd app sync` does, and compare again
//	argocd-engine delete [flags]              delete the Application, as `argocd app delete` does
//
// All print JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	appv1 "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/gitops-engine/pkg/cache"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/argoproj/gitops-engine/pkg/sync"
	"github.com/argoproj/gitops-engine/pkg/sync/common"
	"github.com/argoproj/gitops-engine/pkg/sync/resource"
	"github.com/argoproj/gitops-engine/pkg/sync/syncwaves"
	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/gitops-engine/pkg/utils/tracing"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2/textlogger"
	"sigs.k8s.io/yaml"
)

const (
	manager    = "argocd-controller"
	trackingID = "argocd.argoproj.io/tracking-id"
	patience   = 60 * time.Second
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 2 && arguments[0] == "health" {
		return checkHealth(arguments[1])
	}
	if len(arguments) > 0 && arguments[0] == "sync" {
		return syncOnce(arguments[1:])
	}
	if len(arguments) > 0 && arguments[0] == "delete" {
		return deleteApplication(arguments[1:])
	}
	return fmt.Errorf("usage: argocd-engine health DIRECTORY | sync [flags] < MANIFESTS | delete [flags]")
}

type healthTests struct {
	Tests []struct {
		InputPath    string              `json:"inputPath"`
		HealthStatus health.HealthStatus `json:"healthStatus"`
	} `json:"tests"`
}

type healthResult struct {
	Input    string               `json:"input"`
	Expected health.HealthStatus  `json:"expected"`
	Found    *health.HealthStatus `json:"found"`
	Error    string               `json:"error,omitempty"`
}

// overrides returns the rules below a resource_customizations directory, in the form of Argo CD's settings.
func overrides(directory string) (lua.ResourceHealthOverrides, error) {
	found := lua.ResourceHealthOverrides{}
	scripts, err := filepath.Glob(filepath.Join(directory, "*", "*", "health.lua"))
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		kind := filepath.Dir(path)
		found[filepath.Base(filepath.Dir(kind))+"/"+filepath.Base(kind)] = appv1.ResourceOverride{HealthLua: string(text)}
	}
	return found, err
}

// checkHealth runs each rule twice: with and without Lua's standard libraries, as a built-in rule and as a setting.
func checkHealth(directory string) error {
	rules, err := overrides(directory)
	if err != nil {
		return err
	}
	results := []healthResult{}
	files, err := filepath.Glob(filepath.Join(directory, "*", "*", "health_test.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		var tests healthTests
		if err := readYAML(file, &tests); err != nil {
			return err
		}
		for _, test := range tests.Tests {
			path := filepath.Join(filepath.Dir(file), test.InputPath)
			object := &unstructured.Unstructured{}
			if err := readYAML(path, &object.Object); err != nil {
				return err
			}
			for _, withLibraries := range []bool{false, true} {
				vm := lua.VM{ResourceOverrides: rules, UseOpenLibs: withLibraries}
				result := healthResult{Input: path, Expected: test.HealthStatus}
				script, _, err := vm.GetHealthScript(object)
				if err == nil {
					result.Found, err = vm.ExecuteHealthLua(object, script)
				}
				if err != nil {
					result.Error = err.Error()
				}
				results = append(results, result)
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

func readYAML(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return yaml.Unmarshal(text, into)
}

type options struct {
	kubeconfig, namespace, application, rules string
	prune, force, replace, serverSide, dry    bool
	finalizer                                 string
}

// parse reads flags, of which `add` adds some to those that every command has, and returns the access to the API server.
func (o *options) parse(command string, arguments []string, add func(flags *flag.FlagSet)) (*rest.Config, error) {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "file")
	flags.StringVar(&o.namespace, "namespace", "", "namespace of the Application's resources")
	flags.StringVar(&o.application, "application", "", "name of the Application")
	add(flags)
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err == nil {
		config.QPS, config.Burst = 100, 200
	}
	return config, err
}

type resourceState struct {
	Name    string `json:"name"`
	Synced  bool   `json:"synced"`
	Health  string `json:"health,omitempty"`
	Message string `json:"message,omitempty"`
}

type syncResult struct {
	Before  []resourceState `json:"before"`
	Phase   string          `json:"phase,omitempty"`
	Message string          `json:"message,omitempty"`
	Results []string        `json:"results,omitempty"`
	After   []resourceState `json:"after,omitempty"`
}

func syncOnce(arguments []string) error {
	var o options
	config, err := o.parse("sync", arguments, func(flags *flag.FlagSet) {
		flags.StringVar(&o.rules, "rules", "", "directory with Lua health rules")
		flags.BoolVar(&o.prune, "prune", false, "delete what the manifests no longer have")
		flags.BoolVar(&o.force, "force", false, "delete and create again what cannot be changed")
		flags.BoolVar(&o.replace, "replace", false, "replace, do not apply")
		flags.BoolVar(&o.serverSide, "server-side", false, "server-side apply")
		flags.BoolVar(&o.dry, "compare", false, "only compare")
	})
	if err != nil {
		return err
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	targets, err := kube.SplitYAML(text)
	if err != nil {
		return err
	}
	rules, err := overrides(o.rules)
	if err != nil {
		return err
	}
	for _, target := range targets {
		track(target, o)
	}
	result, err := operate(config, targets, rules, o)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// track marks an object as Argo CD does by default.
func track(object *unstructured.Unstructured, o options) {
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	kind := object.GroupVersionKind()
	annotations[trackingID] = fmt.Sprintf("%s:%s/%s:%s/%s", o.application, kind.Group, kind.Kind, object.GetNamespace(), object.GetName())
	object.SetAnnotations(annotations)
}

func operate(config *rest.Config, targets []*unstructured.Unstructured, rules lua.ResourceHealthOverrides, o options) (*syncResult, error) {
	clusterCache := newCache(config, o)
	defer clusterCache.Invalidate()
	compared, err := compare(clusterCache, targets, o)
	if err != nil {
		return nil, err
	}
	result := &syncResult{Before: states(compared, rules)}
	if o.dry {
		return result, nil
	}
	operation := &operation{config: config, cache: clusterCache, targets: targets, rules: rules, options: o}
	if err := operation.run(result); err != nil {
		return nil, err
	}
	freshCache := newCache(config, o)
	defer freshCache.Invalidate()
	if compared, err = compare(freshCache, targets, o); err != nil {
		return nil, err
	}
	result.After = states(compared, rules)
	return result, nil
}

// operation is one sync. As in Argo CD's application controller, each step compares anew and has a new context with the last state.
type operation struct {
	config  *rest.Config
	cache   cache.ClusterCache
	targets []*unstructured.Unstructured
	rules   lua.ResourceHealthOverrides
	options options

	phase   common.OperationPhase
	message string
	results []common.ResourceSyncResult
	started metav1.Time
}

func (op *operation) run(result *syncResult) error {
	op.phase, op.started = common.OperationRunning, metav1.Now()
	for deadline := time.Now().Add(patience); ; {
		if err := op.step(); err != nil {
			return err
		}
		if op.phase.Completed() {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the sync does not end: %s %s", op.phase, op.message)
		}
		time.Sleep(500 * time.Millisecond)
	}
	result.Phase, result.Message = string(op.phase), op.message
	for _, resource := range op.results {
		result.Results = append(result.Results, fmt.Sprintf("%s/%s: %s %s %s", resource.ResourceKey.Kind,
			resource.ResourceKey.Name, resource.Status, resource.HookPhase, resource.Message))
	}
	return nil
}

func (op *operation) step() error {
	compared, err := compare(op.cache, op.targets, op.options)
	if err != nil {
		return err
	}
	log := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(os.Stderr)))
	kubectl := &kube.KubectlCmd{Log: log, Tracer: tracing.NopTracer{}}
	syncContext, cleanup, err := sync.NewSyncContext("revision", compared.reconciled, op.config, op.config, kubectl, op.options.namespace,
		op.cache.GetOpenAPISchema(),
		sync.WithLogr(log),
		sync.WithHealthOverride(op.rules),
		sync.WithInitialState(op.phase, op.message, op.results, op.started),
		sync.WithManifestValidation(true),
		sync.WithOperationSettings(false, op.options.prune, op.options.force, false),
		sync.WithReplace(op.options.replace),
		sync.WithServerSideApply(op.options.serverSide),
		sync.WithServerSideApplyManager(manager),
		sync.WithClientSideApplyMigration(true, common.DefaultClientSideApplyMigrationManager),
	)
	if err != nil {
		return err
	}
	defer cleanup()
	syncContext.Sync()
	op.phase, op.message, op.results = syncContext.GetState()
	return nil
}

// deleteApplication does what the application controller does with the resources of a deleted Application with one finalizer, or none.
// Argo CD's types decide what the finalizer means. The steps are those of its finalizeApplicationDeletion, which is private.
func deleteApplication(arguments []string) error {
	var o options
	config, err := o.parse("delete", arguments, func(flags *flag.FlagSet) {
		flags.StringVar(&o.finalizer, "finalizer", "", "finalizer of the Application")
	})
	if err != nil {
		return err
	}
	application := &appv1.Application{ObjectMeta: metav1.ObjectMeta{Name: o.application, Finalizers: []string{o.finalizer}}}
	deleted := []string{}
	if application.CascadedDeletion() {
		policy := metav1.DeletePropagationForeground
		if application.GetPropagationPolicy() == appv1.BackgroundPropagationPolicyFinalizer {
			policy = metav1.DeletePropagationBackground
		}
		if deleted, err = deleteResources(config, o, policy); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(deleted)
}

// deleteResources deletes the resources of the Application, the latest sync wave first, until none is left.
func deleteResources(config *rest.Config, o options, policy metav1.DeletionPropagation) ([]string, error) {
	log := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(os.Stderr)))
	kubectl := &kube.KubectlCmd{Log: log, Tracer: tracing.NopTracer{}}
	deleted := []string{}
	for deadline := time.Now().Add(patience); ; time.Sleep(500 * time.Millisecond) {
		left, err := toDelete(config, o)
		if err != nil || len(left) == 0 {
			return deleted, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d resources are left", len(left))
		}
		last, busy := syncwaves.Wave(left[0]), false
		for _, object := range left {
			last, busy = max(last, syncwaves.Wave(object)), busy || object.GetDeletionTimestamp() != nil
		}
		for _, object := range left {
			if busy || syncwaves.Wave(object) != last {
				continue
			}
			options := metav1.DeleteOptions{PropagationPolicy: &policy}
			if err := kubectl.DeleteResource(context.Background(), config, object.GroupVersionKind(), object.GetName(), object.GetNamespace(),
				options); err != nil {
				return nil, err
			}
			deleted = append(deleted, object.GetKind()+"/"+object.GetName())
		}
	}
}

// toDelete returns the live resources of the Application without definitions and those that annotations exclude.
func toDelete(config *rest.Config, o options) ([]*unstructured.Unstructured, error) {
	clusterCache := newCache(config, o)
	defer clusterCache.Invalidate()
	compared, err := compare(clusterCache, nil, o)
	if err != nil {
		return nil, err
	}
	found := []*unstructured.Unstructured{}
	for _, object := range compared.reconciled.Live {
		keeps := resource.HasAnnotationOption(object, common.AnnotationSyncOptions, common.SyncOptionDisableDeletion) ||
			resource.HasAnnotationOption(object, "helm.sh/resource-policy", "keep")
		if !kube.IsCRD(object) && !keeps {
			found = append(found, object)
		}
	}
	return found, nil
}

type comparison struct {
	reconciled sync.ReconciliationResult
	diffs      *diff.DiffResultList
}

func newCache(config *rest.Config, o options) cache.ClusterCache {
	return cache.NewClusterCache(config,
		cache.SetNamespaces([]string{o.namespace}),
		cache.SetClusterResources(true),
		cache.SetPopulateResourceInfoHandler(func(object *unstructured.Unstructured, _ bool) (any, bool) {
			mine := strings.HasPrefix(object.GetAnnotations()[trackingID], o.application+":")
			return mine, mine
		}),
	)
}

// compare reads the live objects of the Application, and compares them with the manifests.
func compare(clusterCache cache.ClusterCache, targets []*unstructured.Unstructured, o options) (*comparison, error) {
	if err := clusterCache.EnsureSynced(); err != nil {
		return nil, err
	}
	copies := make([]*unstructured.Unstructured, len(targets))
	for i, target := range targets {
		copies[i] = target.DeepCopy()
	}
	managed, err := clusterCache.GetManagedLiveObjs(copies, func(resource *cache.Resource) bool {
		mine, _ := resource.Info.(bool)
		return mine
	})
	if err != nil {
		return nil, err
	}
	reconciled := sync.Reconcile(copies, managed, o.namespace, clusterCache)
	options := []diff.Option{
		diff.WithNormalizer(diff.GetNoopNormalizer()),
		diff.WithManager(manager),
		diff.WithGVKParser(clusterCache.GetGVKParser()),
		diff.WithStructuredMergeDiff(o.serverSide),
	}
	diffs, err := diff.DiffArray(reconciled.Target, reconciled.Live, options...)
	return &comparison{reconciled, diffs}, err
}

func states(compared *comparison, rules lua.ResourceHealthOverrides) []resourceState {
	found := []resourceState{}
	for i, target := range compared.reconciled.Target {
		live := compared.reconciled.Live[i]
		named := target
		if named == nil {
			named = live
		}
		state := resourceState{Name: named.GetKind() + "/" + named.GetName()}
		state.Synced = target != nil && live != nil && !compared.diffs.Diffs[i].Modified
		if live != nil {
			if status, err := health.GetResourceHealth(live, rules); err != nil {
				state.Message = err.Error()
			} else if status != nil {
				state.Health, state.Message = string(status.Status), status.Message
			}
		}
		found = append(found, state)
	}
	return found
}
