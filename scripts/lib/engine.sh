# shellcheck shell=bash
# A Docker engine for tests and the demo. To be sourced; needs root.
#
#   engine_start   uses the engine that runs, or starts one of our own
#   engine_stop    ends ours, with all that was in it; leaves another's alone
#
# Afterwards DOCKER_HOST names the engine's socket, and what is run as "${engine_beside[@]}" COMMAND runs
# in the network namespace that its bridges are in. Our own engine lives in a network namespace and a mount
# namespace of its own: its bridges, its packet filter rules and its mounts are gone with it.
#
# BRIDGEWALL_ENGINE=own asks for one of our own even where another runs, and BRIDGEWALL_ENGINE_OPTIONS are
# more arguments for its dockerd.

engine_beside=(env)
engine_netns=""
engine_directory=""
engine_pid=""
engine_others=${DOCKER_HOST:-}

engine_start() {
	if [[ "${BRIDGEWALL_ENGINE:-}" != own ]] && timeout 10 docker version >/dev/null 2>&1; then
		export DOCKER_HOST="${DOCKER_HOST:-unix:///var/run/docker.sock}"
		return 0
	fi
	command -v dockerd >/dev/null || {
		echo "no dockerd found: run scripts/install-deps" >&2
		return 1
	}

	engine_directory=$(mktemp -d /var/tmp/bridgewall-engine.XXXXXX)
	local name=${engine_directory##*/}
	ip netns add "$name"
	engine_netns=/run/netns/$name
	engine_beside=(nsenter "--net=$engine_netns")
	export DOCKER_HOST=unix://$engine_directory/docker.sock

	# A session of its own, so that Ctrl-C reaches us and not it: we stop it when we have cleaned up.
	setsid "${engine_beside[@]}" unshare --mount --propagation slave \
		bash -c "$(declare -f engine_exec); engine_exec '$engine_directory' '${BRIDGEWALL_ENGINE_OPTIONS:-}'" \
		>"$engine_directory/log" 2>&1 &
	engine_pid=$!

	local attempt
	for ((attempt = 0; attempt < 300; attempt++)); do
		if timeout 5 docker version >/dev/null 2>&1; then
			return 0
		fi
		kill -0 "$engine_pid" 2>/dev/null || break
		sleep 0.1
	done
	echo "dockerd did not start; its last words:" >&2
	tail -n 15 "$engine_directory/log" >&2
	engine_stop
	return 1
}

# Becomes dockerd, in namespaces that are already its own.
engine_exec() {
	set -e
	ip link set lo up
	# dockerd writes to its bridges' files below /sys/class/net, which are those of the namespace that
	# mounted it. The control groups stay as they are mounted, if they are.
	local kept=$1/cgroup
	mkdir "$kept"
	if mountpoint -q /sys/fs/cgroup; then
		mount --rbind /sys/fs/cgroup "$kept"
	else
		mount -t cgroup2 cgroup2 "$kept"
	fi
	mount -t sysfs sysfs /sys
	mount --rbind "$kept" /sys/fs/cgroup
	umount -l "$kept"
	# Engines before 27 translate no IPv6 addresses unless they are told to.
	# shellcheck disable=SC2086 # one word an option
	exec dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" \
		--host "unix://$1/docker.sock" --log-level warn --experimental --ip6tables $2
}

engine_stop() {
	[[ -n $engine_directory ]] || return 0
	local containers
	containers=$(timeout 20 docker ps --all --quiet 2>/dev/null) || containers=""
	# shellcheck disable=SC2086 # one word a container
	[[ -z $containers ]] || timeout 60 docker rm --force --volumes $containers >/dev/null 2>&1 || true
	# A test may have started it again.
	engine_pid=$(cat "$engine_directory/pid" 2>/dev/null || echo "$engine_pid")
	if [[ -n $engine_pid ]] && kill -TERM "$engine_pid" 2>/dev/null; then
		local attempt
		for ((attempt = 0; attempt < 150; attempt++)); do
			kill -0 "$engine_pid" 2>/dev/null || break
			sleep 0.1
		done
		kill -KILL "$engine_pid" 2>/dev/null || true
	fi
	[[ -z $engine_pid ]] || wait "$engine_pid" 2>/dev/null || true
	ip netns del "${engine_netns##*/}" 2>/dev/null || true
	rm -rf "$engine_directory"
	engine_directory=""
	engine_netns=""
	engine_pid=""
	engine_beside=(env)
	if [[ -n $engine_others ]]; then
		DOCKER_HOST=$engine_others
	else
		unset DOCKER_HOST
	fi
}
