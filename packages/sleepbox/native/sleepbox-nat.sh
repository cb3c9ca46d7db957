#!/bin/sh
# Puts a NAT of the Linux kernel between a network namespace for the program and the machine, and holds it until its
# standard input ends. Only this process holds the two namespaces: whatever kills it takes everything away with it.
#
#   sleepbox-nat.sh NUMBER IDLE_SECONDS LOOSE        as root; LOOSE is 0 or 1
#
#   program's namespace          router's namespace                      the machine
#   eth0 198.18.0.2/30 -------- in 198.18.0.1/30 | NAT | out .2/30 ----- sleepboxNUMBER 198.19.x.1/30
#
# The program's namespace is this process's file descriptor 3, the router's is its own, the machine's is 4. On standard
# output: `step NAME` before each step, `ready HOST_ADDRESS outside|inside` at the end. Exit code 3: NUMBER is taken.
# To end in order it is told `bye`; an end of input without that word means that sleepbox was killed: then it waits for the
# guardian, who ends the program first, and ends it all after ten seconds if nobody comes.
set -eu
PATH=$PATH:/usr/sbin:/sbin
number=$1 idle=$2 loose=$3 stage=${4:-machine}
host_link=sleepbox$number
prefix=198.19.$((number / 64))
host_address=$prefix.$((number % 64 * 4 + 1))
router_address=$prefix.$((number % 64 * 4 + 2))

case $stage in
  machine)
    echo 'step namespace'
    exec 4</proc/self/ns/net
    exec unshare --net -- /bin/sh "$0" "$number" "$idle" "$loose" program
    ;;
  program)
    exec 3</proc/self/ns/net
    exec unshare --net -- /bin/sh "$0" "$number" "$idle" "$loose" router
    ;;
esac

in_machine() { nsenter --net=/proc/self/fd/4 -- "$@"; }
in_program() { nsenter --net=/proc/self/fd/3 -- "$@"; }

# The namespaces end with this process; the links and the table are taken away at once, to leave nothing to wait for.
finish() {
  trap '' TERM
  trap - EXIT
  if [ -n "$waiter" ]; then kill "$waiter" 2>/dev/null || true; fi
  ip link delete out 2>/dev/null || true
  if [ "$reach" = outside ]; then in_machine nft delete table ip "$host_link" 2>/dev/null || true; fi
  exit "$1"
}
reach=inside
waiter=
trap '' INT HUP
trap 'finish 0' TERM

echo 'step veth'
ip link add out type veth peer name "$host_link" netns /proc/self/fd/4 || {
  if in_machine ip link show dev "$host_link" >/dev/null 2>&1; then exit 3; fi
  exit 1
}
trap 'finish $?' EXIT
ip link add in type veth peer name eth0 netns /proc/self/fd/3

echo 'step addresses'
in_machine ip -batch - <<END
addr add $host_address/30 dev $host_link
link set $host_link up
END
# The router has no loopback of its own: its 127.0.0.0/8 is the machine's.
ip -batch - <<END
addr add $router_address/30 dev out
link set out up
addr add 198.18.0.1/30 dev in
link set in up
route add default via $host_address
route add 127.0.0.0/8 via $host_address
END
in_program ip -batch - <<END
link set lo up
addr add 198.18.0.2/30 dev eth0
link set eth0 up
route add default via 198.18.0.1
END

echo 'step forwarding'
cd /proc/sys/net/ipv4
echo 1 >ip_forward
echo 1 >conf/in/route_localnet
echo 1 >conf/out/route_localnet
# shellcheck disable=SC2016 # expanded by the inner shell
in_machine /bin/sh -c 'echo 1 >"/proc/sys/net/ipv4/conf/$0/route_localnet"' "$host_link"

echo 'step rules'
# What belongs to no flow that is known is dropped without a word, in either direction: a router that answers
# with a reset would tell the peers what happened, and most do not.
nft -f - <<'END'
table ip sleepbox {
  counter forgotten-outward { }
  counter forgotten-inward { }
  chain to-the-machine {
    type nat hook prerouting priority dstnat
    iifname "in" ip daddr 198.18.0.1 dnat to 127.0.0.1
  }
  chain translate {
    type nat hook postrouting priority srcnat
    oifname "out" masquerade
  }
  chain forward {
    type filter hook forward priority filter; policy drop
    iifname "in" ct state new,established,related accept
    iifname "out" ct state established,related accept
    iifname "in" counter name "forgotten-outward"
  }
  chain input {
    type filter hook input priority filter; policy drop
    iifname "out" counter name "forgotten-inward"
    iifname "in" counter name "forgotten-outward"
  }
}
END

echo 'step conntrack'
cd /proc/sys/net/netfilter
echo "$loose" >nf_conntrack_tcp_loose
echo "$idle" >nf_conntrack_tcp_timeout_established
# Two shorter times that would end an established flow early.
for name in unacknowledged max_retrans; do
  if [ "$idle" -gt "$(cat nf_conntrack_tcp_timeout_$name)" ]; then echo "$idle" >nf_conntrack_tcp_timeout_$name; fi
done
echo "$idle" >nf_conntrack_udp_timeout
echo "$idle" >nf_conntrack_udp_timeout_stream

# Beyond the machine only where it forwards already: a setting of the whole machine is not ours to change.
# shellcheck disable=SC2016
if [ "$(in_machine cat /proc/sys/net/ipv4/ip_forward)" = 1 ]; then
  echo 'step outside'
  reach=outside
  # One of this name may have been left by a box of which every process was killed.
  in_machine nft -f - <<END
table ip $host_link
delete table ip $host_link
table ip $host_link {
  chain translate {
    type nat hook postrouting priority srcnat
    ip saddr $router_address oifname != "$host_link" masquerade
  }
}
END
fi

cd /
echo "ready $host_address $reach"
last=
while read -r line; do last=$line; done
if [ "$last" != bye ]; then
  sleep 10 3<&- 4<&- &
  waiter=$!
  wait "$waiter" || true
fi
finish 0
