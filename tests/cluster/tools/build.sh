#!/usr/bin/env bash
# The binaries of a real Kubernetes for the tests, and of kwok, which pretends to be many nodes: finds them, else builds
# them from the modules pinned in go.mod and ../kwok/go.mod.
#
#   build.sh [kubernetes|kwok]          find or build, and print the folder they are in
#   build.sh --find [kubernetes|kwok]   print the folder, or end with 1 where there is none; builds nothing, reads no network
#
# KUBEBUILDER_ASSETS, where set, names the folder of Kubernetes, and it is not built. Otherwise it is a cache outside the
# checkout, keyed by version. A build appears there whole or not at all.
set -euo pipefail
export LC_ALL=C

readonly NEEDED_TO_FIND=(etcd kube-apiserver kube-controller-manager kube-scheduler kubectl)
readonly VERSION_PACKAGE=k8s.io/component-base/version

fail() {
  printf 'ERROR: %s\n' "$1" >&2
  exit 1
}

# The first of the named programs ($2...) that the folder ($1) lacks; nothing where it lacks none.
lacks() {
  local folder=$1 name
  shift
  for name in "$@"; do
    if [[ ! -f $folder/$name || ! -x $folder/$name ]]; then
      printf '%s\n' "$name"
      return
    fi
  done
}

pinned() {
  awk -v name="$1" '$1 == name && $2 ~ /^v?[0-9.]+$/ { sub(/^v/, "", $2); print $2; exit }' go.mod
}

# True where version $1 is at least version $2.
at_least() {
  [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]
}

check_go() {
  local wanted have
  wanted=$(pinned go)
  command -v go >/dev/null 2>&1 ||
    fail "the tools are built with Go $wanted or newer, and there is no go in PATH: install it, or set KUBEBUILDER_ASSETS to a folder of ready binaries"
  have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || have=""
  if [[ ! $have =~ ^go([0-9]+(\.[0-9]+)*) ]] || ! at_least "${BASH_REMATCH[1]}" "$wanted"; then
    fail "the tools are built with Go $wanted or newer, and the go in PATH says its version is '$have': install a newer one, or set KUBEBUILDER_ASSETS"
  fi
}

# Build one package ($1) as program $2 in folder $3. Two compilations at a time, at the lowest priority: it takes long.
build() {
  local package=$1 program=$2 folder=$3 minor
  minor=${version#*.}
  nice -n 19 go build -p 2 -mod=readonly -trimpath -buildvcs=false -o "$folder/$program" -ldflags "-s -w \
    -X $VERSION_PACKAGE.gitVersion=v$version \
    -X $VERSION_PACKAGE.gitMajor=${version%%.*} \
    -X $VERSION_PACKAGE.gitMinor=${minor%%.*}" "$package"
}

build_all() {
  local folder=$1 program
  export GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0
  for program in "${wanted[@]}"; do
    printf 'building %s\n' "$program" >&2
    case $program in
      etcd) build go.etcd.io/etcd/server/v3 etcd "$folder" ;;
      kwok) build sigs.k8s.io/kwok/cmd/kwok kwok "$folder" ;;
      *) build "k8s.io/kubernetes/cmd/$program" "$program" "$folder" ;;
    esac >>"$log" 2>&1 || fail "building $program of $title $version failed: the log is $log"
  done
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mode='' what=kubernetes
for word in "$@"; do
  case $word in
    --find) mode=--find ;;
    kubernetes | kwok) what=$word ;;
    *) fail "build.sh knows no '$word': its words are --find, kubernetes and kwok" ;;
  esac
done
case $what in
  kubernetes)
    title=Kubernetes module=k8s.io/kubernetes store=kube
    wanted=(etcd kube-apiserver kube-controller-manager kube-scheduler kubectl kubelet)
    cd "$here"
    ;;
  kwok)
    title=kwok module=sigs.k8s.io/kwok store=kwok
    wanted=(kwok)
    cd "$here/../kwok"
    ;;
esac

if [[ $what == kubernetes && -n ${KUBEBUILDER_ASSETS:-} ]]; then
  missing=$(lacks "$KUBEBUILDER_ASSETS" "${NEEDED_TO_FIND[@]}")
  [[ -z $missing ]] || fail "KUBEBUILDER_ASSETS is set, and its folder has no program '$missing': complete it, or unset the variable and run make cluster-tools"
  (cd "$KUBEBUILDER_ASSETS" && pwd)
  exit
fi

version=$(pinned "$module")
[[ -n $version ]] || fail "go.mod names no version of $module: restore $PWD/go.mod"
cache=${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/modekeeper/$store
if [[ -z $(lacks "$cache/$version" "${wanted[@]}") ]]; then
  printf '%s\n' "$cache/$version"
  exit
fi
[[ $mode != --find ]] || fail "the binaries of $title $version are not built: run make cluster-tools"

check_go
mkdir -p "$cache"
log=$cache/$version.log
partial=$(mktemp -d "$cache/.partial-$version-XXXXXX")
trap 'rm -rf "$partial"' EXIT
: >"$log"
printf 'building %s %s, which takes minutes; the log is %s\n' "$title" "$version" "$log" >&2
build_all "$partial"
chmod 755 "$partial"
# Another build may have been faster: then its result stays. What is incomplete goes.
if [[ -n $(lacks "$cache/$version" "${wanted[@]}") ]]; then
  rm -rf "${cache:?}/$version"
  mv -T "$partial" "$cache/$version"
fi
printf '%s\n' "$cache/$version"
