// Prints what KubeVirt's operator installs, made by its own code, as one List: without an argument its
// CustomResourceDefinitions, with "policies" the admission policies that the feature gate Plugins brings.
//
// Package components is the part of KubeVirt's package of that name that makes them: the whole of it wants a
// module that the Go module proxy does not serve. Who builds this lays the two files over it (go build -overlay).
package main

import (
	"encoding/json"
	"log"
	"os"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	policies "kubevirt.io/kubevirt/pkg/virt-operator/resource/generate/components/validatingadmissionpolicies"

	"l2wire.dev/test/cluster/crds/components"
)

func main() {
	items := listCrds
	if len(os.Args) > 1 && os.Args[1] == "policies" {
		items = listPolicies
	}
	list := map[string]any{"apiVersion": "v1", "kind": "List", "items": items()}
	if err := json.NewEncoder(os.Stdout).Encode(list); err != nil {
		log.Fatal(err)
	}
}

func listCrds() (items []any) {
	for _, newCrd := range []func() (*extv1.CustomResourceDefinition, error){
		components.NewKubeVirtCrd,
		components.NewVirtualMachineCrd,
		components.NewVirtualMachineInstanceCrd,
		components.NewVirtualMachineInstanceMigrationCrd,
		components.NewPluginCrd,
	} {
		crd, err := newCrd()
		if err != nil {
			log.Fatal(err)
		}
		items = append(items, crd)
	}
	return items
}

// The operator says "v1" for their version, which only its own client understands.
func listPolicies() (items []any) {
	version := admissionregistrationv1.SchemeGroupVersion.String()
	for _, newPolicy := range []func() *admissionregistrationv1.ValidatingAdmissionPolicy{
		policies.NewPluginValidatingAdmissionPolicy,
		policies.NewPluginSocketPathValidatingAdmissionPolicy,
		policies.NewSidecarSubPathValidatingAdmissionPolicy,
	} {
		policy := newPolicy()
		policy.APIVersion = version
		items = append(items, policy)
	}
	for _, newBinding := range []func() *admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		policies.NewPluginValidatingAdmissionPolicyBinding,
		policies.NewPluginSocketPathValidatingAdmissionPolicyBinding,
		policies.NewSidecarSubPathValidatingAdmissionPolicyBinding,
	} {
		binding := newBinding()
		binding.APIVersion = version
		items = append(items, binding)
	}
	return items
}
