#!/bin/sh
# Slaves on all machines of a room, over ssh:
#
#   sh classroom.sh ROOM install    once: an environment, the packages, and each machine joins
#   sh classroom.sh ROOM start      a slave on each machine
#   sh classroom.sh ROOM status     which of them run
#   sh classroom.sh ROOM stop       finish what runs, then end
#
# ROOM is a file with a host on each line, as ssh takes it. `install` needs, in this folder, the file of
# the project's wheel (pip wheel --no-deps -w . FOLDER-OF-THIS-PROJECT) and one token for all of them:
#
#   umask 077; nameserver invite --uses 30 --expires 1h | grep -m1 '^rj1-' > token.txt
#
# Each machine joins with a key and a certificate of its own; the token travels over ssh, and is on no
# command line. A machine that has joined keeps what it has, and uses nothing up. Afterwards:
# nameserver invite --withdraw, and rm token.txt. An ssh key that logs in without a password spares typing.
# All that is written there is in ~/.remoteobj; rm -r removes it.
#
#   WHEELS=FOLDER    a folder with the wheels of everything (pip wheel -w FOLDER ...): no machine needs
#                    the internet then
#   TOKEN=FILE       another file with the token
#   OPTIONS="..."    more options for the slaves: "survey --slots 2"
#   AT_ONCE=10       machines at a time

set -eu

usage() {
    echo "usage: sh classroom.sh ROOM install|start|status|stop   (read the top of this file)" >&2
    exit 2
}

[ $# = 2 ] || usage
room=$1 verb=$2
[ -f "$room" ] || { echo "there is no file $room: write the names of the machines into it" >&2; exit 2; }
AT_ONCE=${AT_ONCE:-10} OPTIONS=${OPTIONS:-} WHEELS=${WHEELS:-.} TOKEN=${TOKEN:-token.txt}
SSH="ssh -o BatchMode=yes -o ConnectTimeout=10"
# Who a machine is lies below ~/.remoteobj, whoever else uses the account.
WHO='XDG_CONFIG_HOME=$HOME/.remoteobj/config; export XDG_CONFIG_HOME'

install_on() {
    host=$1
    made=$(mktemp -d)
    trap 'rm -rf "$made"' EXIT
    mkdir -m 0700 "$made/wheels"
    { cp "$WHEELS"/*.whl "$made/wheels/" && (umask 077 && cp "$TOKEN" "$made/token"); } 2>&1 || return 1
    [ "$WHEELS" = . ] && index='' || index=--no-index
    tar -C "$made" -cf - token wheels | $SSH "$host" "
        set -e
        umask 077
        mkdir -p ~/.remoteobj && cd ~/.remoteobj && rm -rf wheels && tar -xf -
        trap 'rm -rf token wheels' EXIT
        python3 -m venv . && bin/pip --disable-pip-version-check -q install \
            $index --find-links wheels --force-reinstall --no-deps wheels/remoteobj_farm-*.whl
        bin/pip --disable-pip-version-check -q install $index --find-links wheels remoteobj-farm
        bin/masterslave slave --help > /dev/null
        $WHO
        if ls config/remoteobj/clusters/*/node.pem > /dev/null 2>&1; then echo 'installed; has joined before'
        else bin/nameserver join token --name '${host#*@}'; fi"
}

start_on() {
    $SSH "$1" "
        cd ~/.remoteobj 2> /dev/null || { echo 'nothing is installed: sh classroom.sh $room install'; exit 1; }
        if [ -f slave.pid ] && kill -0 \$(cat slave.pid) 2> /dev/null; then echo 'runs already'; exit; fi
        $WHO
        nohup bin/masterslave slave $OPTIONS > slave.log 2>&1 < /dev/null &
        echo \$! > slave.pid
        while kill -0 \$! 2> /dev/null && [ ! -s slave.log ]; do sleep 0.2; done
        if kill -0 \$(cat slave.pid) 2> /dev/null; then echo started; else cat slave.log; exit 1; fi"
}

status_on() {
    $SSH "$1" '
        cd ~/.remoteobj 2> /dev/null || { echo "nothing is installed"; exit; }
        if [ -f slave.pid ] && kill -0 $(cat slave.pid) 2> /dev/null
        then echo "runs: $(tail -n 1 slave.log)"; else echo "does not run"; fi'
}

stop_on() {
    $SSH "$1" '
        cd ~/.remoteobj 2> /dev/null && [ -f slave.pid ] || { echo "does not run"; exit; }
        kill -INT $(cat slave.pid) 2> /dev/null || { rm -f slave.pid; echo "does not run"; exit; }
        while kill -0 $(cat slave.pid) 2> /dev/null; do sleep 0.2; done
        rm -f slave.pid; echo stopped'
}

if [ "$verb" = install ] && [ ! -f "$TOKEN" ]; then
    echo "there is no file $TOKEN with a token: the top of this file has the line that makes it" >&2
    exit 2
fi

case $verb in install | start | status | stop) ;; *) usage ;; esac

all_well=$(mktemp)
running=0
while read -r host || [ -n "$host" ]; do
    case $host in '' | '#'*) continue ;; esac
    {
        if said=$("${verb}_on" "$host" < /dev/null 2>&1); then
            echo "$host: $said"
        else
            echo "$host: FAILED: $said"
            rm -f "$all_well"
        fi
    } &
    running=$((running + 1))
    [ $((running % AT_ONCE)) = 0 ] && wait
done < "$room"
wait
if [ -f "$all_well" ]; then rm "$all_well"; else exit 1; fi
