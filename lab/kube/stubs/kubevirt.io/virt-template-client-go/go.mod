// Stands in for a module that the Go module proxy does not have.
module kubevirt.io/virt-template-client-go

go 1.24.0
