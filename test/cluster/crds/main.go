// Prints KubeVirt's own CustomResourceDefinitions, as its operator installs them, as one List.
//
// Package components is the part of KubeVirt's package of that name that makes them: the whole of it wants a
// module that the Go module proxy does not serve. Who builds this lays the two files over it (go build -overlay).
package main

import (
	"encoding/json"
	"log"
	"os"

	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"l2wire.dev/test/cluster/crds/components"
)

func main() {
	var items []*extv1.CustomResourceDefinition
	for _, newCrd := range []func() (*extv1.CustomResourceDefinition, error){
		components.NewKubeVirtCrd,
		components.NewVirtualMachineCrd,
		components.NewVirtualMachineInstanceCrd,
	} {
		crd, err := newCrd()
		if err != nil {
			log.Fatal(err)
		}
		items = append(items, crd)
	}
	list := map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
	if err := json.NewEncoder(os.Stdout).Encode(list); err != nil {
		log.Fatal(err)
	}
}
