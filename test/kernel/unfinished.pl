# Sends frames that a kernel is to cut and sum up, and reads what comes of them as those do who know nothing of
# that: a packet socket without PACKET_AUXDATA, or a VM's tap with the virtio header that says what is unfinished.
# In Perl, as part of every Debian; Node has neither socket.
# Usage: unfinished.pl send|send-tap DEVICE   lines of hex from standard input, virtio header and frame
#        unfinished.pl read|read-tap DEVICE   "ready", then a line of hex for each frame; of a tap with its header
#        unfinished.pl serve|stream ADDRESS PORT       a TCP stream of 300,000 bytes
#        unfinished.pl datagrams ADDRESS PORT BYTES    ten times 14,000 bytes by UDP_SEGMENT
use strict;
use warnings;
use Errno;
use Socket qw(:DEFAULT getaddrinfo AI_NUMERICHOST);

# linux/if_packet.h, linux/if_tun.h, linux/udp.h; SO_RCVBUFFORCE.
my ( $AF_PACKET, $ETH_P_ALL, $SOL_PACKET, $ADD_MEMBERSHIP, $VNET_HDR ) = ( 17, 3, 263, 1, 15 );
my ( $PROMISCUOUS, $OUTGOING, $RCVBUFFORCE ) = ( 1, 4, 33 );
my ( $TUNSETIFF, $TUNSETOFFLOAD, $TAP_NO_PI_VNET_HDR ) = ( 0x400454ca, 0x400454d0, 0x5002 );
my ( $CSUM_TSO4_TSO6, $USO4_USO6 ) = ( 0x7, 0x60 );
my ( $SOL_UDP, $UDP_SEGMENT ) = ( 17, 103 );
my ( $STREAM_BYTES, $DATAGRAM_BYTES ) = ( 300_000, 14_000 );

my ( $mode, $where, @more ) = @ARGV;
$| = 1;

sub open_packets {
    my ($protocol) = @_;
    my $index = qx(ip -o link show dev $where) =~ /^(\d+):/ ? $1 : die "No device $where\n";
    socket my $packets, $AF_PACKET, SOCK_RAW, 0 or die "socket: $!\n";
    setsockopt $packets, $SOL_PACKET, $VNET_HDR, pack 'i', 1 or die "header: $!\n" if !$protocol;
    bind $packets, pack 'S n i S C C a8', $AF_PACKET, $protocol, $index, 0, 0, 0, '' or die "bind: $!\n";
    setsockopt $packets, $SOL_PACKET, $ADD_MEMBERSHIP, pack 'i S S a8', $index, $PROMISCUOUS, 0, '';
    setsockopt $packets, SOL_SOCKET, $RCVBUFFORCE, pack 'i', 1 << 26;
    return $packets;
}

sub open_tap {
    open my $tap, '+<', '/dev/net/tun' or die "tun: $!\n";
    ioctl $tap, $TUNSETIFF, pack 'a16 S x22', $where, $TAP_NO_PI_VNET_HDR or die "tap: $!\n";
    ioctl $tap, $TUNSETOFFLOAD, $CSUM_TSO4_TSO6 | $USO4_USO6
      or ioctl $tap, $TUNSETOFFLOAD, $CSUM_TSO4_TSO6
      or die "offload: $!\n";
    return $tap;
}

sub connect_to {
    my ($type) = @_;
    my ( $error, $found ) = getaddrinfo $where, $more[0], { flags => AI_NUMERICHOST, socktype => $type };
    die "$where: $error\n" if $error;
    socket my $socket, $found->{family}, $type, 0 or die "socket: $!\n";
    return ( $socket, $found->{addr} );
}

if ( $mode eq 'send' || $mode eq 'send-tap' ) {
    my $out = $mode eq 'send' ? open_packets(0) : open_tap();
    while ( my $line = <STDIN> ) {
        chomp $line;
        defined syswrite $out, pack 'H*', $line or die "send: $!\n";
    }
}
elsif ( $mode eq 'read' ) {
    my $packets = open_packets($ETH_P_ALL);
    print "ready\n";
    while ( defined( my $from = recv $packets, my $frame, 70_000, 0 ) ) {
        my @told = unpack 'S n i S C C', $from;
        print unpack( 'H*', $frame ), "\n" if $told[4] != $OUTGOING;
    }
}
elsif ( $mode eq 'read-tap' ) {
    my $tap = open_tap();
    print "ready\n";
    print unpack( 'H*', $_ ), "\n" while sysread $tap, $_, 70_000;
}
elsif ( $mode eq 'serve' ) {
    my ( $socket, $address ) = connect_to(SOCK_STREAM);
    setsockopt $socket, SOL_SOCKET, SO_REUSEADDR, 1;
    bind $socket, $address or die "bind: $!\n";
    listen $socket, 1;
    print "ready\n";
    accept( my $client, $socket ) or die "accept: $!\n";
    my $bytes = 0;
    $bytes += length $_ while sysread $client, $_, 70_000;
    print "$bytes bytes\n";
}
elsif ( $mode eq 'stream' ) {
    my ( $socket, $address ) = connect_to(SOCK_STREAM);
    connect $socket, $address or die "connect: $!\n";
    my ( $left, $data ) = ( $STREAM_BYTES, 'l' x 60_000 );
    $left -= syswrite $socket, $data, $left while $left > 0;
}
elsif ( $mode eq 'datagrams' ) {
    my ( $socket, $address ) = connect_to(SOCK_DGRAM);
    connect $socket, $address or die "connect: $!\n";
    setsockopt $socket, $SOL_UDP, $UDP_SEGMENT, pack 'i', $more[1] or die "segment: $!\n";
    for ( 1 .. 10 ) { defined send $socket, 'l' x $DATAGRAM_BYTES, 0 or $!{ECONNREFUSED} or die "send: $!\n" }
}
else { die "Cannot do \"$mode\"\n" }
