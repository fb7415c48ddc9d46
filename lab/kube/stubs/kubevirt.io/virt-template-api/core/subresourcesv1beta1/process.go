// Package subresourcesv1beta1 has what making a VM of a template takes and answers.
package subresourcesv1beta1

import virtv1 "kubevirt.io/api/core/v1"

type ProcessOptions struct {
	Parameters map[string]string `json:"parameters,omitempty"`
}

type ProcessedVirtualMachine struct {
	VirtualMachine *virtv1.VirtualMachine `json:"virtualMachine"`
	Message        string                 `json:"message,omitempty"`
}
