// Package libnbd has what KubeVirt 1.9 names of the library by which backups read disks. No disk can be read:
// Create fails, and so nobody gets to call the rest.
package libnbd

import "errors"

const (
	CONTEXT_BASE_ALLOCATION   = "base:allocation"
	CONTEXT_QEMU_DIRTY_BITMAP = "qemu:dirty-bitmap:"
)

// Flags of an extent; what they mean depends on the context.
const (
	STATE_HOLE  uint32 = 1
	STATE_ZERO  uint32 = 2
	STATE_DIRTY uint32 = 1
)

var errAbsent = errors.New("this build of KubeVirt has no libnbd: it makes no backups")

type Libnbd struct{}

type LibnbdExtent struct {
	Length uint64
	Flags  uint64
}

type BlockStatus64Optargs struct{}

type PreadOptargs struct{}

type ExtentCallback func(context string, offset uint64, extents []LibnbdExtent, fault *int) int

func Create() (*Libnbd, error) { return nil, errAbsent }

func (*Libnbd) AddMetaContext(string) error { return errAbsent }

func (*Libnbd) CanMetaContext(string) (bool, error) { return false, errAbsent }

func (*Libnbd) SetExportName(string) error { return errAbsent }

func (*Libnbd) ConnectUnix(string) error { return errAbsent }

func (*Libnbd) GetSize() (uint64, error) { return 0, errAbsent }

func (*Libnbd) BlockStatus64(uint64, uint64, ExtentCallback, *BlockStatus64Optargs) error {
	return errAbsent
}

func (*Libnbd) Pread([]byte, uint64, *PreadOptargs) error { return errAbsent }

func (*Libnbd) Close() error { return nil }
