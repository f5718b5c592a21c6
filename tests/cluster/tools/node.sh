#!/usr/bin/env bash
# The first process of a node: in mount and PID namespaces of its own it starts containerd and a kubelet. When either
# ends, or this one is killed, the kernel ends every process of the node, those of its pods too, and its mounts with them.
#
#   node.sh FOLDER KUBELET NODE_NAME     what it reads and writes is in FOLDER; see tests/cluster/node.py
set -euo pipefail

readonly folder=$1 kubelet=$2 node_name=$3
readonly socket=/run/containerd/containerd.sock
readonly STARTED_WITHIN_TENTHS=300

# What containerd and the kubelet write at fixed places stays inside, and is gone with the node.
for place in /run /var/lib /var/log; do
  mount -t tmpfs -o mode=755 node "$place"
done

# A kubelet sets these for the whole machine, or refuses to start where they differ. It is shown what it wants to see.
while read -r setting value; do
  seen=$folder/sysctl-${setting//\//-}
  printf '%s\n' "$value" >"$seen"
  mount --bind "$seen" "/proc/sys/$setting"
done <<'SETTINGS'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
SETTINGS

containerd --config "$folder/containerd.toml" >"$folder/containerd.log" 2>&1 &
for ((tenth = 0; ; tenth++)); do
  ! ctr --address "$socket" version >/dev/null 2>&1 || break
  if ((tenth == STARTED_WITHIN_TENTHS)) || ! kill -0 $!; then
    printf 'containerd did not start: its log is %s\n' "$folder/containerd.log" >&2
    exit 1
  fi
  sleep 0.1
done
for image in "$folder"/images/*.tar; do
  ctr --address "$socket" --namespace k8s.io images import "$image"
done

"$kubelet" --config="$folder/kubelet.json" --kubeconfig="$folder/kubeconfig.json" --hostname-override="$node_name" \
  --node-labels=modekeeper.invalid/node=real --v=2 >"$folder/kubelet.log" 2>&1 &
wait -n || true
printf 'containerd or the kubelet ended: their logs are in %s\n' "$folder" >&2
exit 1
