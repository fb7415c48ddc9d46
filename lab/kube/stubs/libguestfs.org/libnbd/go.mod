// Stands in for a module that the Go module proxy does not have.
module libguestfs.org/libnbd

go 1.24.0
