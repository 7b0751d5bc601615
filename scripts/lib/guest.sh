# shellcheck shell=bash
# Guests: virtual machines, emulated in software, that boot a Debian kernel and run test binaries as
# root. To be sourced.
#
#   guest_fetch FOLDER RELEASE PACKAGE...
#                                     kernels and busybox, out of Debian's archive
#   guest_pack INITRD KERNEL FILE...  an initramfs: the kernel's modules, programs, jobs
#   guest_run OUTPUT KERNEL INITRD    boots it, and leaves what it told in OUTPUT
#   guest_job OUTPUT JOB              what a job wrote
#   guest_exit OUTPUT JOB             its exit code, nothing if it never ended
#   guest_is_sound OUTPUT             whether the guest came to its end and its kernel had no complaint
#
# KERNEL is the folder of a kernel's meta package, FOLDER/PACKAGE. Nothing is installed on this machine,
# and nothing is written outside the folders that are named.

# Debian 12 (bookworm) carries 6.1 and, among its security updates, 6.12; Debian 11 (bullseye) 5.10. This
# machine's own sources are not asked which kernels there are, so that every host tests the same ones;
# only where the archive is.
# Where apt gets Debian's packages from, without the folder at its end.
# shellcheck disable=SC2016 # apt is to expand it
GUEST_ARCHIVE=${BRIDGEWALL_DEBIAN_ARCHIVE:-$(apt-get indextargets --format '$(REPO_URI)' | sed -nE 's#^(https?://[^/]+.*)/debian/$#\1#p' | head -n 1)}
GUEST_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# apt, with state of its own in a folder.
guest_apt() {
	local folder=$1 tool=$2
	shift 2
	"$tool" -q -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State="$folder" -o Dir::State::Status="$folder/status" -o Dir::Cache="$folder" \
		-o APT::Architecture=amd64 -o APT::Architectures::=amd64 -o APT::Sandbox::User=root \
		-o Acquire::Languages=none -o Acquire::Retries=3 -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		"$@"
}

# Brings FOLDER/PACKAGE of a release up to date for each package, where it is unpacked: a kernel's meta
# package as `vmlinuz` and `modules`. Without the archive, what was fetched before will do.
guest_fetch() {
	local folder=$1 release=$2 suite name package version
	shift 2
	[[ -n $GUEST_ARCHIVE ]] || {
		echo "apt gets nothing from Debian's archive: say in BRIDGEWALL_DEBIAN_ARCHIVE where it is (what" \
			"stands before /debian in its address)" >&2
		return 1
	}
	mkdir -p "$folder/apt/lists/partial" "$folder/apt/archives/partial"
	: >"$folder/apt/status"
	for suite in "debian $release" "debian-security $release-security"; do
		echo "deb [arch=amd64 signed-by=$GUEST_KEYRING] $GUEST_ARCHIVE/$suite main"
	done >"$folder/apt/sources.list"
	guest_apt "$folder/apt" apt-get update >"$folder/apt/log" 2>&1 ||
		echo "$GUEST_ARCHIVE does not answer ($folder/apt/log says why); what is cached will do" >&2
	for name in "$@"; do
		package=$(guest_apt "$folder/apt" apt-cache depends "$name" 2>/dev/null |
			sed -n 's/^ *Depends: \(linux-image-.*\)$/\1/p') || true
		version=$(guest_apt "$folder/apt" apt-cache show --no-all-versions "${package:-$name}" 2>/dev/null |
			sed -n 's/^\(Package\|Version\): //p' | paste -sd ' ') || true
		if [[ -n $version && $(cat "$folder/$name/version" 2>/dev/null) != "$version" ]]; then
			rm -rf "${folder:?}/$name"
			mkdir "$folder/$name"
			(cd "$folder/$name" && guest_apt "$folder/apt" apt-get download "${version% *}") \
				>>"$folder/apt/log" 2>&1 || {
				echo "cannot download ${version% *}: $folder/apt/log says why" >&2
				return 1
			}
			guest_unpack "$folder/$name" "$folder"
			echo "$version" >"$folder/$name/version"
		fi
		[[ -e $folder/$name/version ]] || {
			echo "$name is neither in $GUEST_ARCHIVE nor cached in $folder" >&2
			return 1
		}
	done
}

# Unpacks the package that lies in a folder, and of a kernel keeps what guests need.
guest_unpack() {
	local to=$1 busybox=$2/busybox-static/bin/busybox release from modules
	dpkg-deb -x "$to"/*.deb "$to"
	rm "$to"/*.deb
	[[ -d $to/boot ]] || return 0
	mv "$to"/boot/vmlinuz-* "$to/vmlinuz"
	# Everything of networking, and what it depends on: the kernel loads what is asked for.
	release=$(basename "$to"/lib/modules/*)
	from=$to/lib/modules/$release
	modules=$to/modules/lib/modules/$release
	mkdir -p "$modules"
	(cd "$from" && cp -a --parents kernel/net kernel/lib kernel/crypto kernel/drivers/net/*.ko* \
		modules.builtin* modules.order "$modules")
	find "$modules" -name '*.ko.xz' -exec "$busybox" unxz {} +
	"$busybox" depmod -b "$to/modules" "$release"
	rm -rf "${to:?}"/{boot,lib,usr}
}

# Packs an initramfs. The jobs are read from standard input, one a line: a name, a limit in seconds,
# and a command (see tests/guest/init). Each FILE is a path on this machine and, after a colon, its path
# in the guest; the libraries of programs come along.
guest_pack() {
	local initrd=$1 kernel=$2 busybox=${2%/*}/busybox-static/bin/busybox root file from to library
	shift 2
	root=$initrd.root
	rm -rf "$root"
	mkdir -p "$root"/{bin,sbin,proc,sys,dev,run,tmp,etc}
	cat >"$root/jobs"
	cp "$GUEST_INIT" "$root/init"
	cp "$busybox" "$root/bin/busybox"
	ln -s ../bin/busybox "$root/sbin/modprobe"
	cp -a "$kernel/modules/lib" "$root/"
	for file in "$@"; do
		from=${file%%:*} to=$root${file#*:}
		mkdir -p "${to%/*}"
		cp -L "$from" "$to"
		[[ -x $from ]] || continue
		for library in $(guest_libraries "$from"); do
			[[ -e $root$library ]] || cp -L --parents "$library" "$root"
		done
		# Debug information is most of a test binary, and would only have to be unpacked.
		strip --strip-debug "$to"
	done
	(cd "$root" && find . | "$busybox" cpio -o -H newc 2>/dev/null) >"$initrd"
	rm -rf "$root"
}

# What a program needs at run time, the loader included.
guest_libraries() {
	# A program that is statically linked needs none, which ldd takes for an error.
	{ ldd "$1" 2>/dev/null || true; } | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^\t\(\/[^ ]*\) (.*/\1/p'
}

# Boots a kernel and waits for its end; to be run in a subshell. What the guest told is in OUTPUT/told,
# the kernel's console in OUTPUT/console, qemu's own words in OUTPUT/qemu.
#
# The processor has no fast string instructions, which are emulated byte by byte, so that the kernel clears
# and copies memory by loops, several times faster; nor has it what only costs an emulation time, and
# the kernel leaves out what guards against other people's programs. It does not check its timer either: on a
# busy machine it would find that it stands still.
guest_run() {
	local output=$1 kernel=$2 initrd=$3
	rm -rf "$output"
	mkdir -p "$output"
	timeout --kill-after=5 "$GUEST_SECONDS" nice -n 10 qemu-system-x86_64 \
		-accel tcg,tb-size=512 -cpu max,-erms,-smap,-smep,-la57,-pku -smp 1 -m 1024 \
		-nodefaults -no-user-config -display none -no-reboot \
		-serial "file:$output/console" -serial "file:$output/told" \
		-kernel "$kernel/vmlinuz" -initrd "$initrd" \
		-append "console=ttyS0 loglevel=5 oops=panic panic=-1 mitigations=off init_on_alloc=0 no_timer_check" \
		</dev/null >"$output/qemu" 2>&1 &
	local guest=$! code=0
	# Who ends us ends the guest.
	trap 'kill "$guest" 2>/dev/null' EXIT
	wait "$guest" || code=$?
	trap - EXIT
	[[ $code == 0 ]] || echo "qemu ended with code $code (124: stopped after $GUEST_SECONDS s)" >>"$output/qemu"
}

# Whether a guest came to its end, and its kernel never complained. If not, says what there is to say.
guest_is_sound() {
	local output=$1 sound=0
	if grep -E 'WARNING: CPU|BUG:|Oops|Kernel panic|Call Trace' "$output/console" >&2; then
		echo "the kernel complained: see $output/console" >&2
		sound=1
	fi
	if ! grep -q '^#end' "$output/told" 2>/dev/null; then
		echo "the guest did not come to its end; its last words:" >&2
		tail -n 15 "$output"/{console,told,qemu} >&2 || true
		sound=1
	fi
	return "$sound"
}

# What a job wrote.
guest_job() {
	sed -n "/^#job $2\$/,/^#exit $2 /p" "$1/told" 2>/dev/null || true
}

# The code that a job ended with.
guest_exit() {
	sed -n "s/^#exit $2 \([0-9]*\) .*/\1/p" "$1/told" 2>/dev/null || true
}
