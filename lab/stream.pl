# One end of a numbered stream that runs both ways at once: sends frames of an ethertype for experiments at a steady
# rate, numbered, and notes those of the other end. In Perl, as part of every Debian, since it needs a packet socket
# and has to be light enough for an emulated guest, which has no more of Perl's modules than these two.
# Usage: stream.pl DEVICE MAC_OF_THE_OTHER_END FRAMES_PER_SECOND FILE
# Says "ready" once it listens, and at every hundredth frame how many it has sent and heard. SIGUSR1: it sends, and with the next one no more. SIGTERM: it listens until nothing
# has come for a second, and writes FILE, little-endian:
#     u32 frames sent, u32 frames heard, u32 frames that this socket had no room for
#     u64 when each one was sent, in the order of their numbers from 0 on
#     u32 u64 number of each one heard, and when, in the order in which they came
# Times are microseconds since 1970 by this end's clock.
use strict;
use warnings;

# linux/if_ether.h, linux/if_packet.h, asm/socket.h, asm/unistd_64.h
my ( $AF_PACKET, $SOCK_RAW, $ETHERTYPE ) = ( 17, 3, 0x88b5 );
my ( $SOL_PACKET, $STATISTICS )          = ( 263, 6 );
my ( $SOL_SOCKET, $RCVBUFFORCE )         = ( 1, 33 );
my $DONTWAIT = 0x40;
my ( $CLOCK_GETTIME, $REALTIME, $MONOTONIC ) = ( 228, 0, 1 );
my $SECOND = 1_000_000;
# Whoever gets too little CPU for the rate is to do both, sending and listening.
my $BATCH = 16;

my ( $device, $far, $rate, $file ) = @ARGV;
my $step = $SECOND / $rate;

my $spec = pack 'q q', 0, 0;

sub now {
    syscall $CLOCK_GETTIME, $_[0], $spec;
    my ( $seconds, $nanoseconds ) = unpack 'q q', $spec;
    return $seconds * $SECOND + int( $nanoseconds / 1000 );
}

sub read_line {
    open my $in, '<', "/sys/class/net/$device/$_[0]" or die "No device $device: $!\n";
    chomp( my $line = <$in> );
    return $line;
}

my $index = read_line('ifindex');
socket my $packets, $AF_PACKET, $SOCK_RAW, 0 or die "socket: $!\n";
setsockopt $packets, $SOL_SOCKET, $RCVBUFFORCE, pack( 'i', 1 << 26 ) or die "buffer: $!\n";
bind $packets, pack 'S n i S C C a8', $AF_PACKET, $ETHERTYPE, $index, 0, 0, 0, '' or die "bind: $!\n";

my $header = pack 'H12 H12 n', map( { tr/://dr } $far, read_line('address') ), $ETHERTYPE;
my ( $sent, $heard, $numbers ) = ( '', '', 0 );
# When the next frame is to be sent; undefined: never.
my $due;
my $isEnding;
$SIG{USR1} = sub { $due = defined $due ? undef : now($MONOTONIC) };
$SIG{TERM} = sub { $isEnding = 1; $due = undef };
$| = 1;
print "ready\n";

my $mask = '';
vec( $mask, fileno $packets, 1 ) = 1;
my $last = now($MONOTONIC);
while ( !$isEnding || now($MONOTONIC) - $last < $SECOND ) {
    # Behind its time it catches up. What the device refuses counts as sent: that, too, does not arrive.
    for ( 1 .. $BATCH ) {
        last if !defined $due || $due > now($MONOTONIC);
        $sent .= pack 'Q<', now($REALTIME);
        send $packets, pack( 'a14 L< x42', $header, $numbers++ ), 0;
        print $numbers, ' ', length($heard) / 12, "\n" if $numbers % 100 == 0;
        $due += $step if defined $due;
    }
    my $wait = defined $due ? $due - now($MONOTONIC) : $SECOND / 10;
    my $ready = select my $readable = $mask, undef, undef, $wait > 0 ? $wait / $SECOND : 0;
    next if $ready <= 0;
    $last = now($MONOTONIC);
    my $when = now($REALTIME);
    for ( 1 .. $BATCH ) {
        defined recv $packets, my $frame, 64, $DONTWAIT or last;
        $heard .= pack 'L< Q<', unpack( 'x14 L<', $frame ), $when;
    }
}

# tp_packets, tp_drops
my ( undef, $dropped ) = unpack 'L L', getsockopt $packets, $SOL_PACKET, $STATISTICS;
open my $out, '>:raw', $file or die "Cannot write $file: $!\n";
print $out pack( 'L< L< L<', $numbers, length($heard) / 12, $dropped ), $sent, $heard;
close $out or die "Cannot write $file: $!\n";
