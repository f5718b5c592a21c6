#!/bin/sh
# A network plugin for pods that reach nobody: each has its own loopback interface and an address that nothing listens to.
# Called by containerd as CNI says, for the network named "pods" and for the loopback that containerd adds by itself:
# https://www.cni.dev/docs/spec/#section-2-execution-protocol
set -eu

version=0.4.0
case $CNI_COMMAND in
  ADD)
    nsenter --net="$CNI_NETNS" ip link set lo up
    # Two bytes of the sandbox's own name: an address for show, seldom that of another pod.
    bytes=$(printf '%s' "$CNI_CONTAINERID" | sed 's/[^0-9a-f]//g')
    a=$(printf '%d' "0x$(printf '%s' "$bytes" | cut -c1-2)") b=$(printf '%d' "0x$(printf '%s' "$bytes" | cut -c3-4)")
    printf '{"cniVersion": "%s", "interfaces": [{"name": "%s", "sandbox": "%s"}], "ips": [%s]}\n' \
      "$version" "$CNI_IFNAME" "$CNI_NETNS" \
      "{\"version\": \"4\", \"address\": \"10.98.$((a % 254 + 1)).$((b % 254 + 1))/32\", \"interface\": 0}"
    ;;
  VERSION) printf '{"cniVersion": "%s", "supportedVersions": ["%s"]}\n' "$version" "$version" ;;
  CHECK | DEL) ;;
  *) exit 1 ;;
esac
