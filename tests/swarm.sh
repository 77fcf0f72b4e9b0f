#!/bin/sh
# A private Docker Swarm on one machine: each node an engine in a network namespace of its own, all on one switch, which is a bridge in one
# more namespace. The machine itself is plugged into the switch, so it reaches every node's address. Root only.
#   swarm.sh up DIRECTORY NET COUNT              makes the directory (in memory), the switch and the machine's own cable to it
#   swarm.sh registry DIRECTORY NET [NUMBER]     becomes the registry, at port 15000 + NET of 127.0.0.1, which no connection is given as its own
#                                                end: of the machine, or of a node. All have the same images: an engine, like qd,
#                                                asks a registry without TLS at that address only
#   swarm.sh registry-down DIRECTORY NET         ends the registry, and that of every node; registry-freeze, registry-thaw: stops them, lets them go on
#   swarm.sh instead DIRECTORY NET NUMBER COMMAND…   becomes the command, in the registry's place; NUMBER may be empty
#   swarm.sh start DIRECTORY NET NUMBER [ARGUMENTS OF dockerd…]   becomes the engine of node-NUMBER (from 1), at 10.NET.0.NUMBER
#   swarm.sh lose DIRECTORY NET NUMBER           pulls its cable, then ends everything that runs on it; what it has on its disk stays
#   swarm.sh down DIRECTORY NET                  ends all of it, whatever is left of it, and removes the directory
# A node has its own mount namespace: what an engine mounts is gone with its last process.
set -u
PATH=$PATH:/usr/sbin:/sbin
command=${1:-} directory=${2:-} net=${3:-} number=${4:-}
[ $# -ge 3 ] || { echo "usage: $0 up|registry|registry-down|registry-freeze|registry-thaw|instead|start|lose|down DIRECTORY NET [NUMBER] [ARGUMENT…]" >&2; exit 2; }
name=qdt$net
switch=$name-switch
# Where processes are counted: all that a node starts is in a group below one of its own, whatever it does.
counted=/sys/fs/cgroup/pids
[ -d "$counted" ] || counted=/sys/fs/cgroup

# Becomes a process of that group, with what it starts.
enter() {
    mkdir -p "$counted/$name/$1" && echo $$ >"$counted/$name/$1/cgroup.procs" || exit 1
}

# Ends all processes of the group, and of those below it.
kill_group() {
    tries=0
    while [ $tries -lt 200 ]; do
        processes=$(find "$counted/$name/$1" -name cgroup.procs -exec cat {} + 2>/dev/null)
        [ -n "$processes" ] || return 0
        for process in $processes; do kill -9 "$process" 2>/dev/null; done
        tries=$((tries + 1))
        sleep 0.05
    done
    return 1
}

# Sends a signal to every registry.
signal_registries() {
    for group in $(find "$counted/$name" -type d -name registry); do
        for process in $(cat "$group/cgroup.procs"); do kill "$1" "$process" 2>/dev/null; done
    done
}

case $command in
up)
    mkdir -p "$directory" && mount -t tmpfs -o mode=0755 quarterdeck-test "$directory" || exit 1
    ip netns add "$switch" || exit 1
    ip -n "$switch" link add switch type bridge forward_delay 0
    ip -n "$switch" link set lo up
    ip -n "$switch" link set switch up || exit 1
    ip link add "$name" type veth peer name machine netns "$switch" || exit 1
    ip -n "$switch" link set machine master switch up
    ip addr add "10.$net.0.254/24" dev "$name"
    ip link set "$name" up
    ;;
registry)
    enter "${number:+node-$number/}registry"
    own=$directory/registry$number.yml
    printf 'version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s/registry}, delete: {enabled: true}}\n' \
        "$directory" >"$own"
    printf "http: {addr: '127.0.0.1:%s', secret: x}\n" $((15000 + net)) >>"$own"
    [ -z "$number" ] || exec nsenter --net="/run/netns/$name-$number" docker-registry serve "$own"
    exec docker-registry serve "$own"
    ;;
registry-down)
    for group in $(find "$counted/$name" -type d -name registry); do kill_group "${group#"$counted/$name/"}" || exit 1; done
    ;;
registry-freeze)
    signal_registries -STOP
    ;;
registry-thaw)
    signal_registries -CONT
    ;;
instead)
    enter "${number:+node-$number/}registry"
    shift 4
    [ -z "$number" ] || exec nsenter --net="/run/netns/$name-$number" "$@"
    exec "$@"
    ;;
start)
    shift 4
    node=node-$number
    enter "$node/engine"
    home=$directory/$node
    # As after a reboot: what is on the disk is there, nothing else is.
    rm -rf "$home/exec" "$home/engine.sock" "$home/engine.pid"
    mkdir -p "$home/data"
    ip -n "$switch" link del "$node" 2>/dev/null # the namespace itself ends some time after it is told to
    ip netns del "$name-$number" 2>/dev/null
    ip netns add "$name-$number" || exit 1
    ip -n "$name-$number" link set lo up
    ip -n "$name-$number" link add eth0 type veth peer name "$node" netns "$switch" || exit 1
    ip -n "$switch" link set "$node" master switch up
    ip -n "$name-$number" addr add "10.$net.0.$number/24" dev eth0
    ip -n "$name-$number" link set eth0 up || exit 1
    sh "$0" registry "$directory" "$net" "$number" &
    # shellcheck disable=SC2016
    named='echo "$1" >/proc/sys/kernel/hostname && shift && exec "$@"'
    exec nsenter --net="/run/netns/$name-$number" unshare --mount --uts sh -c "$named" sh "$node" \
        dockerd --data-root "$home/data" --exec-root "$home/exec" -p "$home/engine.pid" -H "unix://$home/engine.sock" \
        --iptables=false --ip6tables=false --ip-masq=false --log-opt max-size=10m \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$name/$node" "$@"
    ;;
lose)
    ip -n "$switch" link del "node-$number" 2>/dev/null
    kill_group "node-$number" || exit 1
    ip netns del "$name-$number" 2>/dev/null
    exit 0
    ;;
down)
    # Nothing is asked of the engines, which may be stopped or gone.
    kill_group .
    ip link del "$name" 2>/dev/null
    for other in $(ip netns list | awk -v name="$name-" 'index($1, name) == 1 {print $1}'); do ip netns del "$other" 2>/dev/null; done
    for group in /sys/fs/cgroup/"$name" /sys/fs/cgroup/*/"$name"; do
        tries=0
        while [ -d "$group" ] && [ $tries -lt 100 ]; do # a process that has ended holds its group for another moment
            find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
            tries=$((tries + 1))
            [ ! -d "$group" ] || sleep 0.05
        done
    done
    while mountpoint -q "$directory" 2>/dev/null; do umount -l "$directory" || break; done
    rm -rf "$directory"
    [ ! -e "$directory" ]
    ;;
*)
    echo "usage: $0 up|registry|registry-down|registry-freeze|registry-thaw|instead|start|lose|down DIRECTORY NET [NUMBER] [ARGUMENT…]" >&2
    exit 2
    ;;
esac
