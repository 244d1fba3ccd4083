"""What the Docker daemon says about itself, in the members that Lambda@Home's API has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_INFO: Final = {
    "containers": "Containers",
    "containers_running": "ContainersRunning",
    "containers_paused": "ContainersPaused",
    "containers_stopped": "ContainersStopped",
    "images": "Images",
    "driver": "Driver",
    "memory_total": "MemTotal",
    "cpu_count": "NCPU",
    "kernel_version": "KernelVersion",
    "operating_system": "OperatingSystem",
    "architecture": "Architecture",
    "docker_root_dir": "DockerRootDir",
    "storage_driver": "Driver",
    "logging_driver": "LoggingDriver",
    "cgroup_driver": "CgroupDriver",
    "cgroup_version": "CgroupVersion",
    "n_events_listener": "NEventsListener",
    "n_goroutines": "NGoroutines",
    "system_time": "SystemTime",
    "server_version": "ServerVersion",
}
_VERSION: Final = {
    "version": "Version",
    "api_version": "ApiVersion",
    "min_api_version": "MinAPIVersion",
    "git_commit": "GitCommit",
    "go_version": "GoVersion",
    "os": "Os",
    "arch": "Arch",
    "kernel_version": "KernelVersion",
    "experimental": "Experimental",
    "build_time": "BuildTime",
}
_IMAGE: Final = {
    "id": "Id",
    "parent_id": "ParentId",
    "repo_tags": "RepoTags",
    "repo_digests": "RepoDigests",
    "created": "Created",
    "shared_size": "SharedSize",
    "size": "Size",
    "virtual_size": "VirtualSize",
    "labels": "Labels",
    "containers": "Containers",
}
_CONTAINER: Final = {
    "id": "Id",
    "names": "Names",
    "image": "Image",
    "image_id": "ImageID",
    "command": "Command",
    "created": "Created",
    "size_rw": "SizeRw",
    "size_root_fs": "SizeRootFs",
    "labels": "Labels",
    "state": "State",
    "status": "Status",
}
_VOLUME: Final = {
    "name": "Name",
    "driver": "Driver",
    "mountpoint": "Mountpoint",
    "created_at": "CreatedAt",
    "labels": "Labels",
    "scope": "Scope",
    "options": "Options",
}
_BUILD_CACHE: Final = {
    "id": "ID",
    "parent": "Parent",
    "type": "Type",
    "description": "Description",
    "in_use": "InUse",
    "shared": "Shared",
    "size": "Size",
    "created_at": "CreatedAt",
    "last_used_at": "LastUsedAt",
    "usage_count": "UsageCount",
}


def statistics(client: Any, available_memory: int) -> dict[str, Any]:
    """Ask the daemon (a docker.APIClient); blocks, for long where there are many images.

    `available_memory` is in bytes, which the daemon does not know. Raises what docker-py raises.
    """
    info, version, usage = client.info(), client.version(), client.df()
    return {
        "system_info": {**_named(info, _INFO), "memory_available": available_memory},
        "disk_usage": {
            "layers_size": usage.get("LayersSize") or 0,
            "images": [_named(image, _IMAGE) for image in usage.get("Images") or ()],
            "containers": [_named(one, _CONTAINER) for one in usage.get("Containers") or ()],
            "volumes": [_volume(volume) for volume in usage.get("Volumes") or ()],
            "build_cache": [_named(entry, _BUILD_CACHE) for entry in usage.get("BuildCache") or ()],
        },
        "version": _named(version, _VERSION),
    }


def _named(said: Mapping[str, Any], members: Mapping[str, str]) -> dict[str, Any]:
    return {ours: said.get(theirs) for ours, theirs in members.items()}


def _volume(volume: Mapping[str, Any]) -> dict[str, Any]:
    size = (volume.get("UsageData") or {}).get("Size", 0)
    return {**_named(volume, _VOLUME), "size": max(0, size)}
