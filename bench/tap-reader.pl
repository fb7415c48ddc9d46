# A VM's NIC without a VM: what comes out of one tap is written to another, both ways, a frame per
# system call with the virtio header before it, as QEMU does for a virtio NIC without vhost. Both are told that
# their reader takes unfinished checksums and segments, as a Linux guest's driver says. In Perl, since
# that is part of every Debian and can ask a tap for this; Node cannot.
# Usage: tap-reader.pl DEVICE DEVICE   for what is open as 3 and 4: a device's name behind /dev/net/tun,
#                                      "-" for a macvtap
#        tap-reader.pl copy FROM TO
use strict;
use warnings;

# linux/if_tun.h
my $TUNSETIFF       = 0x400454ca;
my $TUNSETOFFLOAD   = 0x400454d0;
my $TUNSETVNETHDRSZ = 0x400454d8;
my $IFF_TAP_NO_PI_VNET_HDR = 0x5002;
my $TUN_F_CSUM_TSO4_TSO6   = 0x7;
my $VIRTIO_NET_HDR_MRG     = 12;
my $LONGEST                = 70_000;

# What is opened lives on in the other direction's process.
$^F = 9;

# Kept: a handle that goes closes its descriptor.
my %handles;

sub handle {
    my ($number) = @_;
    open $handles{$number}, '+<&=', $number or die "Cannot use descriptor $number: $!\n";
    return $handles{$number};
}

sub attach {
    my ( $number, $device ) = @_;
    my $tap = handle($number);
    if ( $device ne '-' ) {
        my $request = pack 'a16 S x22', $device, $IFF_TAP_NO_PI_VNET_HDR;
        ioctl $tap, $TUNSETIFF, $request or die "Cannot open $device: $!\n";
    }
    my $size = pack 'i', $VIRTIO_NET_HDR_MRG;
    ioctl $tap, $TUNSETVNETHDRSZ, $size or die "Cannot set the header of $device: $!\n";
    ioctl $tap, $TUNSETOFFLOAD, $TUN_F_CSUM_TSO4_TSO6 or die "Cannot offload $device: $!\n";
    return;
}

sub copy {
    my ( $from, $to ) = map { handle($_) } @_;
    my $frame;
    syswrite $to, $frame while sysread $from, $frame, $LONGEST;
    exit;
}

if ( $ARGV[0] eq 'copy' ) { copy( @ARGV[ 1, 2 ] ) }
attach( 3, $ARGV[0] );
attach( 4, $ARGV[1] );
my $other = fork // die "Cannot fork: $!\n";
# It must not outlive this one.
exec 'setpriv', '--pdeathsig', 'KILL', $^X, $0, 'copy', 4, 3 if $other == 0;
$| = 1;
print "ready\n";
copy( 3, 4 );
