#!/bin/sh
# A private Docker engine in one directory, on a bridge of its own and without firewall rules. Root only.
#   dockerd.sh up DIRECTORY NET [ARGUMENTS OF dockerd…]     becomes the engine; its networks are within 10.NET.0.0/16
#   dockerd.sh down DIRECTORY NET                           ends it with everything that it started, unmounts, removes the directory
# Containers outlive the engine (live-restore), as they do on hosts that are run with care; docker-proxy publishes their ports.
set -u
PATH=$PATH:/usr/sbin:/sbin
command=${1:-} directory=${2:-} net=${3:-}
[ $# -ge 3 ] || { echo "usage: $0 up|down DIRECTORY NET [ARGUMENT…]" >&2; exit 2; }
shift 3
bridge=qdt$net

# Kills what was started with this directory among its arguments; tells whether there was something.
kill_processes() {
    found=1
    for entry in /proc/[0-9]*; do
        process=${entry#/proc/}
        read -r name 2>/dev/null <"$entry/comm" || continue # not by cat: a process for each process there is takes its time
        case $name in
        dockerd | containerd | containerd-shim* | runc*)
            tr '\0' '\n' <"$entry/cmdline" 2>/dev/null | grep -qF -- "$directory/" && kill -9 "$process" 2>/dev/null && found=0
            ;;
        esac
    done
    # The shims are gone by now: their containers are found by the control group that they were put in.
    for group in /sys/fs/cgroup/pids/"$bridge" /sys/fs/cgroup/"$bridge"; do
        [ -d "$group" ] || continue
        for process in $(find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null); do kill -9 "$process" 2>/dev/null && found=0; done
    done
    return $found
}

case $command in
up)
    mkdir -p "$directory"
    # An engine that was killed leaves its containerd, or what is left of it: a new one would wait for that for 15 s.
    saved=$directory/exec/containerd/containerd.pid
    if [ -s "$saved" ]; then
        kill -9 "$(cat "$saved")" 2>/dev/null
        rm -f "$saved" "$directory"/exec/containerd/*.sock "$directory"/exec/containerd/*.ttrpc
    fi
    rm -f "$directory/engine.pid"
    # In memory, where nothing waits for a disk: it syncs at every change, and what it keeps lasts no longer than its tests.
    mkdir -p "$directory/data"
    mountpoint -q "$directory/data" || mount -t tmpfs -o mode=0711 quarterdeck-test "$directory/data" || exit 1
    ip link add "$bridge" type bridge 2>/dev/null
    ip addr add "10.$net.0.1/24" dev "$bridge" 2>/dev/null
    ip link set "$bridge" up || exit 1
    exec dockerd --data-root "$directory/data" --exec-root "$directory/exec" -p "$directory/engine.pid" -H "unix://$directory/engine.sock" \
        --bridge="$bridge" --fixed-cidr="10.$net.0.0/24" --default-address-pool "base=10.$net.128.0/17,size=26" \
        --iptables=false --ip6tables=false --ip-masq=false --live-restore=true --log-opt max-size=10m \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$bridge" "$@"
    ;;
down)
    # Nothing is asked of the engine, which may be stopped or gone.
    tries=0
    while [ $tries -lt 100 ] && kill_processes; do
        tries=$((tries + 1))
        sleep 0.05
    done
    tries=0
    while [ $tries -lt 20 ]; do
        mounts=$(awk -v below="$directory/" 'index($5, below) == 1 {print $5}' /proc/self/mountinfo | sort -r)
        [ -n "$mounts" ] || break
        for mount in $mounts; do umount -l "$mount" 2>/dev/null; done
        tries=$((tries + 1))
    done
    for group in /sys/fs/cgroup/"$bridge" /sys/fs/cgroup/*/"$bridge"; do
        [ -d "$group" ] && find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
    done
    for other in $(ip -o -4 addr show 2>/dev/null | awk -v net="10.$net." 'index($4, net) == 1 {print $2}'); do ip link del "$other" 2>/dev/null; done
    rm -rf "$directory"
    [ ! -e "$directory" ]
    ;;
*)
    echo "usage: $0 up|down DIRECTORY NET [ARGUMENT…]" >&2
    exit 2
    ;;
esac
