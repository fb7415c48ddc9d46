// virt-launcher's end of KubeVirt's hook contracts, played by KubeVirt's own code: package hooks for the sidecars of
// network bindings, package plugins for the domain hooks of KubeVirt 1.9. The folders where these look for sockets,
// /var/run/kubevirt-hooks and /var/run/kubevirt-plugin, are constants of theirs: whoever starts this gives it a mount
// namespace of its own.
//
// It reads one step per line from stdin and answers each by one line on stdout, both JSON; KubeVirt logs to stderr.
//
//	{"do": "collect", "sidecars": 2, "timeoutMs": 5000}
//	{"do": "define", "vmi": {…}, "domain": "<domain>…", "plugins": [{…}], "context": "Boot"}
//	{"do": "preCloudInitIso", "vmi": {…}}
//	{"do": "migratable", "vmi": {…}, "bindings": {"l2wire": {…}}}
//	{"do": "shutdown"}
//
// An answer has one of "result", "error" (what KubeVirt's code returned) and "panic" (virt-launcher would be gone).
// Exit code 0: stdin ended; 1: a step was not understood, and stderr says why.
//
// go.mod needs no replace lines as long as nothing from k8s.io/client-go is imported: package converter as a whole,
// and with it anything that makes a domain from nothing, wants modules that the Go module proxy does not serve.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	v1 "kubevirt.io/api/core/v1"
	pluginv1alpha1 "kubevirt.io/api/plugin/v1alpha1"
	kubevirtlog "kubevirt.io/client-go/log"
	cloudinit "kubevirt.io/kubevirt/pkg/cloud-init"
	"kubevirt.io/kubevirt/pkg/hooks"
	"kubevirt.io/kubevirt/pkg/network/vmispec"
)

type step struct {
	Do string `json:"do"`
	// How many sidecars the pod has, and how long virt-launcher waits for them.
	Sidecars  uint  `json:"sidecars"`
	TimeoutMs int64 `json:"timeoutMs"`
	// The VM, and the domain as virt-launcher has generated it.
	VMI     *v1.VirtualMachineInstance       `json:"vmi"`
	Domain  string                           `json:"domain"`
	Plugins []pluginv1alpha1.Plugin          `json:"plugins"`
	Context pluginv1alpha1.InvocationContext `json:"context"`
	// spec.configuration.network.binding of the KubeVirt object.
	Bindings map[string]v1.InterfaceBindingPlugin `json:"bindings"`
}

// steps says which need a VMI.
var steps = map[string]bool{
	"collect": false, "define": true, "migratable": true, "preCloudInitIso": true, "shutdown": false,
}

type answer struct {
	Result any    `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
	Panic  string `json:"panic,omitempty"`
}

func main() {
	// What goes wrong here, not there: the log of KubeVirt has its own format.
	log.SetFlags(0)
	kubevirtlog.InitializeLogging("virt-launcher")
	lines := json.NewDecoder(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for lines.More() {
		var text json.RawMessage
		if err := lines.Decode(&text); err != nil {
			log.Fatalf("cannot read a step: %v", err)
		}
		one, err := decodeStep(text)
		if err != nil {
			log.Fatalf("cannot take a step: %v", err)
		}
		if err := answers.Encode(play(one)); err != nil {
			log.Fatalf("cannot answer step %q: %v", one.Do, err)
		}
	}
}

// decodeStep takes no field that KubeVirt's API does not have.
func decodeStep(text json.RawMessage) (*step, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	one := &step{}
	if err := decoder.Decode(one); err != nil {
		return nil, err
	}
	needsVMI, isKnown := steps[one.Do]
	if !isKnown {
		return nil, fmt.Errorf("there is no %q", one.Do)
	}
	if needsVMI && one.VMI == nil {
		return nil, fmt.Errorf("%q needs a vmi", one.Do)
	}
	return one, nil
}

func play(one *step) (told answer) {
	defer func() {
		if reason := recover(); reason != nil {
			told = answer{Panic: fmt.Sprint(reason)}
		}
	}()
	result, err := do(one)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Result: result}
}

func do(one *step) (any, error) {
	manager := hooks.GetManager()
	switch one.Do {
	case "collect":
		return struct{}{}, manager.Collect(one.Sidecars, time.Duration(one.TimeoutMs)*time.Millisecond)
	case "define":
		return define(manager, one)
	case "migratable":
		// What virt-handler asks of a VMI's networks (virt-handler/vm.go, calculateLiveMigrationCondition).
		return struct{}{}, vmispec.VerifyVMIMigratable(one.VMI, one.Bindings)
	case "preCloudInitIso":
		return preCloudInitIso(manager, one.VMI)
	default:
		return struct{}{}, manager.Shutdown()
	}
}

type cloudInit struct {
	Before *cloudinit.CloudInitData `json:"before"`
	After  *cloudinit.CloudInitData `json:"after"`
}

// preCloudInitIso is what virt-launcher does before it starts a VM, be there a cloud-init volume or not
// (virtwrap/manager.go, preStartHook).
func preCloudInitIso(manager hooks.Manager, vmi *v1.VirtualMachineInstance) (*cloudInit, error) {
	before, err := cloudinit.ReadCloudInitVolumeDataSource(vmi, "/nonexistent")
	if err != nil {
		return nil, err
	}
	after, err := manager.PreCloudInitIso(vmi, before)
	if err != nil {
		return nil, err
	}
	return &cloudInit{Before: before, After: after}, nil
}
