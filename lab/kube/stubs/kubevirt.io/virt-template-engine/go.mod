// Stands in for a module that the Go module proxy does not have.
module kubevirt.io/virt-template-engine

go 1.24.0
