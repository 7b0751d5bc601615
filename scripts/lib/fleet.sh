# shellcheck shell=bash
# The demo's three ships: containers, or network namespaces that stand in for them. To be sourced after
# engine.sh.
#
#   fleet_launch DIRECTORY       starts them
#   fleet_table                  lists them
#   fleet_identities             who is who, in the policy's words
#   fleet_configuration          what bridgewall.toml needs to say about them
#   fleet_address SHIP 4|6       an address
#   fleet_on SHIP COMMAND ...    runs one of busybox's commands on a ship
#   fleet_dissolve               ends them, and leaves nothing of them

ships=(deathstar tiefighter xwing)
declare -A ship_labels=(
	[deathstar]="org=empire class=deathstar"
	[tiefighter]="org=empire"
	[xwing]="org=alliance"
)
declare -A ship_address4 ship_address6
fleet_kind=""
fleet_prefix=""
fleet_directory=""
fleet_servers=()
fleet_image=bridgewall-demo
fleet_bridge=bwdemo0

fleet_launch() {
	fleet_directory=$1
	# Answers requests to land, and nothing else.
	cat >"$fleet_directory/answer" <<-'END'
		#!/bin/sh
		read -r method path version
		while read -r header && [ ${#header} -gt 1 ]; do :; done
		case "$method $path" in
		"POST /v1/request-landing") printf 'HTTP/1.0 200 OK\r\n\r\nShip landed\n' ;;
		*) printf 'HTTP/1.0 404 Not Found\r\n\r\n' ;;
		esac
	END
	chmod +x "$fleet_directory/answer"
	if [[ ${BRIDGEWALL_DEMO:-} != namespaces ]] && engine_start; then
		fleet_launch_containers
	else
		fleet_launch_namespaces
	fi
	fleet_await
}

fleet_launch_containers() {
	fleet_kind=containers
	local ship label labels
	for ship in "${ships[@]}"; do
		! docker container inspect "$ship" >/dev/null 2>&1 || fleet_prefix=demo-
	done
	scripts/lib/image "$fleet_image"
	docker network create --ipv6 --subnet "$(fleet_random_ula)" \
		--opt com.docker.network.bridge.name="$fleet_bridge" "$fleet_bridge"
	for ship in "${ships[@]}"; do
		labels=()
		for label in ${ship_labels[$ship]}; do
			labels+=(--label "$label")
		done
		local command=(sleep infinity)
		[[ $ship != deathstar ]] || command=(nc -ll -p 80 -e /answer)
		docker create --name "$fleet_prefix$ship" --network "$fleet_bridge" "${labels[@]}" \
			"$fleet_image" "${command[@]}"
		[[ $ship != deathstar ]] || docker cp "$fleet_directory/answer" "$fleet_prefix$ship:/answer"
		docker start "$fleet_prefix$ship"
		ship_address4[$ship]=$(fleet_inspect "$ship" IPAddress)
		ship_address6[$ship]=$(fleet_inspect "$ship" GlobalIPv6Address)
	done
}

fleet_inspect() {
	docker inspect --format "{{ (index .NetworkSettings.Networks \"$fleet_bridge\").$2 }}" "$fleet_prefix$1"
}

# A prefix that nobody else is likely to use (RFC 4193).
fleet_random_ula() { printf 'fd%02x:%x:%x::/64' $((RANDOM % 256)) $((RANDOM + 1)) $((RANDOM + 1)); }

fleet_launch_namespaces() {
	fleet_kind=namespaces
	local ship number=2
	ip netns add bwdemo-host
	# shellcheck disable=SC2034 # of engine.sh: where the daemon is to run
	engine_beside=(nsenter --net=/run/netns/bwdemo-host)
	ip -n bwdemo-host -batch - <<-END
		link set lo up
		link add $fleet_bridge type bridge
		addr add 10.89.0.1/24 dev $fleet_bridge
		addr add fd89::1/64 dev $fleet_bridge nodad
		link set $fleet_bridge up
	END
	for ship in "${ships[@]}"; do
		ip netns add "bwdemo-$ship"
		ship_address4[$ship]=10.89.0.$number
		ship_address6[$ship]=fd89::$number
		ip -n bwdemo-host link add "$ship" type veth \
			peer name eth0 address "$(fleet_mac "$ship")" netns "bwdemo-$ship"
		ip -n bwdemo-host link set "$ship" master $fleet_bridge up
		ip -n "bwdemo-$ship" -batch - <<-END
			link set lo up
			addr add ${ship_address4[$ship]}/24 dev eth0
			addr add ${ship_address6[$ship]}/64 dev eth0 nodad
			link set eth0 up
		END
		number=$((number + 1))
	done
	nsenter --net=/run/netns/bwdemo-deathstar busybox nc -ll -p 80 -e "$fleet_directory/answer" &
	fleet_servers+=($!)
}

fleet_mac() { printf '02:42:0a:59:00:%02x' "${ship_address4[$1]##*.}"; }

# Until the deathstar answers.
fleet_await() {
	local attempt
	for ((attempt = 0; attempt < 100; attempt++)); do
		if fleet_on tiefighter timeout 1 nc -w 1 "$(fleet_address deathstar 6)" 80 </dev/null >/dev/null 2>&1; then
			return 0
		fi
		sleep 0.05
	done
	echo "the deathstar does not answer" >&2
	return 1
}

fleet_table() {
	local ship
	for ship in "${ships[@]}"; do
		printf '%-10s  %-26s  %-12s  %s\n' "$ship" "${ship_labels[$ship]}" \
			"${ship_address4[$ship]}" "${ship_address6[$ship]}"
	done
	echo
	if [[ $fleet_kind == namespaces ]]; then
		echo "network namespaces on the bridge $fleet_bridge, in place of containers"
	elif [[ -n $engine_netns ]]; then
		echo "containers on the bridge $fleet_bridge, of a Docker engine that was started for this"
	else
		echo "containers on the bridge $fleet_bridge, of the Docker engine that runs here"
	fi
}

fleet_identities() {
	if [[ $fleet_kind == containers ]]; then
		cat <<-'END'
			[identities.deathstar]
			labels = { org = "empire", class = "deathstar" }

			[identities.empire]
			labels = { org = "empire" }

			[identities.alliance]
			labels = { org = "alliance" }
		END
	else
		cat <<-'END'
			[identities.deathstar]
			interface = "deathstar"

			[identities.empire]
			interface = "{deathstar,tiefighter}"

			[identities.alliance]
			interface = "xwing"
		END
	fi
}

fleet_configuration() {
	local ship
	if [[ $fleet_kind == containers ]]; then
		cat <<-END
			[docker]
			socket = "${DOCKER_HOST#unix://}"

			[bridges]
			managed = ["$fleet_bridge"]
		END
		return
	fi
	printf '[docker]\nenabled = false\n\n[bridges]\nmanaged = []\n'
	for ship in "${ships[@]}"; do
		cat <<-END

			[[interfaces]]
			name      = "$ship"
			mac       = "$(fleet_mac "$ship")"
			addresses = ["${ship_address4[$ship]}", "${ship_address6[$ship]}"]
		END
	done
}

fleet_address() {
	if [[ $2 == 4 ]]; then
		echo "${ship_address4[$1]}"
	else
		echo "${ship_address6[$1]}"
	fi
}

fleet_on() {
	local ship=$1
	shift
	if [[ $fleet_kind == containers ]]; then
		docker exec "$fleet_prefix$ship" "$@"
	else
		nsenter --net="/run/netns/bwdemo-$ship" busybox "$@"
	fi
}

fleet_dissolve() {
	local ship server
	if [[ $fleet_kind == containers ]]; then
		docker rm --force --volumes "${ships[@]/#/$fleet_prefix}" >/dev/null 2>&1
		docker network rm "$fleet_bridge" >/dev/null 2>&1
		docker image rm "$fleet_image" >/dev/null 2>&1
	elif [[ $fleet_kind == namespaces ]]; then
		for server in "${fleet_servers[@]}"; do
			kill "$server" 2>/dev/null
		done
		for ship in host "${ships[@]}"; do
			ip netns del "bwdemo-$ship" 2>/dev/null
		done
	fi
	fleet_kind=""
}
