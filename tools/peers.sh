#!/bin/sh
# Brings the programs that the end-to-end tests talk to: on Debian, as root, by installing those that are missing;
# elsewhere it says which are missing and how to get them. Never starts a service.
#
#   tools/peers.sh [FILE]
#
# FILE receives one line for each peer: `present NAME` or `missing NAME`. Exit code 0 in either case: a test
# without its peer skips and says why.
set -eu

# program:package, one for each peer; a name with a dot is a module of the distribution's own Python
peers='mosquitto:mosquitto mosquitto_sub:mosquitto-clients strace:strace python3:python3
  paho.mqtt.client:python3-paho-mqtt firefox-esr:firefox-esr chromium:chromium
  ip:iproute2 nft:nftables sipp:sip-tester baresip:baresip-core kamailio:kamailio'
# Those among them that come with a service, which is never to run because of us.
services='mosquitto kamailio'
list=${1:-/dev/null}
PATH=$PATH:/usr/sbin:/sbin
policy=/usr/sbin/policy-rc.d

is_present() {
  case $1 in
    *.*) /usr/bin/python3 -c "import $1" >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
  esac
}

# Sets the packages of the peers that are not there.
find_missing() {
  missing=
  for peer in $peers; do
    is_present "${peer%%:*}" || missing="$missing ${peer#*:}"
  done
  missing=${missing# }
}

# The package manager asks this file before it starts a service; 101 means no. One that is there is left alone.
forbid_services() {
  [ -e "$policy" ] && return
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}

# Those services of the distribution that run.
running_services() {
  for name in $services; do
    if service "$name" status >/dev/null 2>&1 && pgrep -x "$name" >/dev/null; then printf ' %s ' "$name"; fi
  done
}

install_missing() {
  echo "peers: installing $missing"
  were_running=$(running_services)
  forbid_services
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # package names are words
  if ! { apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 5 "$log"
    echo "peers: the installation failed"
  fi
  for name in $(running_services); do
    case $were_running in *" $name "*) continue ;; esac
    echo "peers: stopping the service $name that the installation started"
    service "$name" stop >/dev/null 2>&1 || true
  done
}

find_missing
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null; then
  log=$(mktemp)
  install_missing
  rm -f "$log"
  find_missing
fi

present=
: >"$list"
for peer in $peers; do
  program=${peer%%:*}
  if is_present "$program"; then
    present="$present $program"
    echo "present $program" >>"$list"
  else
    echo "missing $program" >>"$list"
  fi
done
echo "peers: present:${present:- none}"
if [ -n "$missing" ]; then
  echo '****************************************************************************'
  echo "peers: MISSING: $missing. Tests that need them will be skipped."
  echo "peers: to get them on Debian or Ubuntu: sudo apt-get install $missing"
  echo '****************************************************************************'
fi
