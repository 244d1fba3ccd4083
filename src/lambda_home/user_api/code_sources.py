"""Where code comes from: a ZIP in the request, an object in S3, or a container image.

Texts are those recorded on AWS, or known from it; what S3 and ECR say is quoted as AWS quotes it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lambda_home.arns import Scope
from lambda_home.errors import InvalidParameterValueException, ServiceException
from lambda_home.functions import UNZIPPED_LIMIT, Code
from lambda_home.packager import archive
from lambda_home.packager.architectures import is_portable, refusal
from lambda_home.packager.image_program import digest_in
from lambda_home.sandboxes.base import ImageError, SandboxError
from lambda_home.services import ServiceCallError
from lambda_home.user_api.lookups import quoted
from lambda_home.user_api.operations import Backend

_NO_CODE = "Please provide a source for function code."
_ECR_IMAGE = re.compile(
    r"(?P<registry>\d{12})\.dkr\.ecr\.[a-z0-9-]+\.[^/]+/(?P<repository>[^:@]+)"
    r"(?::(?P<tag>[^:@]+))?$"
)
_DEFAULT_TAG = "latest"


async def fetch_code(
    backend: Backend, scope: Scope, given: Mapping[str, Any], *, creating: bool = False
) -> Code:
    """Check and keep what `given` (`FunctionCode`, or an UpdateFunctionCode) names.

    `creating` a function of an image that is nowhere goes on: the function will say so itself.
    Raises InvalidParameterValueException, 413, and ServiceException where the disk has no room.
    """
    if given.get("ImageUri"):
        if given.get("ZipFile") or given.get("S3Bucket") or given.get("S3Key"):
            raise InvalidParameterValueException(
                "Please do not provide other FunctionCode parameters when providing an ImageUri."
            )
        return await _image(backend, scope, given["ImageUri"], creating=creating)
    code = await keep_zip(backend, await fetch_zip(backend, scope, given))
    return replace(code, kms_key_arn=given.get("SourceKMSKeyArn") or "")


async def check_architecture(backend: Backend, asked: Sequence[str] | None, runtime: str) -> None:
    """Refuse a function whose code cannot run here, by the architecture that it is said to be for.

    Raises InvalidParameterValueException, and ServiceException where that cannot be told.
    """
    if not asked or backend.rules.ignore_architecture or is_portable(runtime):
        return
    try:
        here = await backend.deployer.runs(asked[0])
    except SandboxError as error:
        raise ServiceException(str(error)) from error
    if not here:
        raise InvalidParameterValueException(refusal(asked[0]))


async def fetch_zip(backend: Backend, scope: Scope, given: Mapping[str, Any]) -> bytes:
    """The bytes of the ZIP that a request brings, or names in S3.

    Raises InvalidParameterValueException, and 413 for an upload that is too large.
    """
    data: bytes | None = given.get("ZipFile")
    bucket, key = given.get("S3Bucket"), given.get("S3Key")
    if data is not None:
        if bucket or key:
            raise InvalidParameterValueException(
                "Please do not provide other FunctionCode parameters when providing a ZipFile."
            )
        archive.check_uploaded(data)
        return data
    if not bucket and not key:
        raise InvalidParameterValueException(_NO_CODE)
    if not bucket or not key:
        raise InvalidParameterValueException("Please provide both S3Bucket and S3Key.")
    return await _fetch_object(backend, scope, bucket, key, given.get("S3ObjectVersion"))


async def keep_zip(backend: Backend, data: bytes) -> Code:
    """Check a ZIP and keep it.

    Raises InvalidParameterValueException, and ServiceException where the disk has no room.
    """

    def check_and_keep() -> Code:
        archive.check_contents(archive.inspect(data), data)
        try:
            return backend.store.put(data)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ServiceException(
                f"The deployment package could not be stored: {reason}."
            ) from error

    return await asyncio.to_thread(check_and_keep)


async def _fetch_object(
    backend: Backend, scope: Scope, bucket: str, key: str, version: str | None
) -> bytes:
    if not backend.services.reaches("s3"):
        raise InvalidParameterValueException(
            "Code in S3 needs to know where S3 is: set endpoint_url in [aws], or s3 in"
            " [aws.endpoints], in the configuration of lambda_home; or send ZipFile."
        )
    wanted = {"Bucket": bucket, "Key": key} | ({"VersionId": version} if version else {})
    try:
        answer = await backend.services.call(scope, "s3", "GetObject", wanted)
        with answer["Body"] as body:
            data: bytes = await asyncio.to_thread(body.read, UNZIPPED_LIMIT + 1)
    except ServiceCallError as error:
        raise quoted("GetObject", "S3", error) from error
    except Exception as error:  # the connection broke off; whose exception depends on the client
        failure = ServiceCallError(str(error))
        raise quoted("GetObject", "S3", failure) from error
    if len(data) >= UNZIPPED_LIMIT:
        raise InvalidParameterValueException(archive.UNZIPPED_TOO_LARGE)
    return data


async def _image(backend: Backend, scope: Scope, uri: str, *, creating: bool) -> Code:
    """A container image with its digest of this moment: it is run by that until the next update.

    It is in the URI, or known to the Docker daemon, to ECR, to the registry; else it is derived
    from the URI, for a server that runs no images, or a function that will have failed.
    """
    digest = digest_in(uri)
    if digest is None:
        digest, missing = await _digest_here(backend, uri)
        if digest is None and backend.services.reaches("ecr") and (image := _ECR_IMAGE.match(uri)):
            digest = await _digest_in_registry(backend, scope, uri, image)
        elif missing and not creating:
            raise InvalidParameterValueException(missing)
    if digest is None:
        digest = hashlib.sha256(uri.encode("utf-8", "replace")).hexdigest()
    return Code(key="", sha256=digest, size=0, image_uri=uri)


async def _digest_here(backend: Backend, uri: str) -> tuple[str | None, str]:
    """What the sandbox knows about an image; else why it knows none, if it runs images."""
    try:
        return await backend.deployer.resolve_image(uri), ""
    except ImageError as error:
        return None, str(error)
    except SandboxError as error:
        raise ServiceException(str(error)) from error


async def _digest_in_registry(
    backend: Backend, scope: Scope, uri: str, image: re.Match[str]
) -> str:
    wanted = {
        "registryId": image["registry"],
        "repositoryName": image["repository"],
        "imageIds": [{"imageTag": image["tag"] or _DEFAULT_TAG}],
    }
    try:
        answer = await backend.services.call(scope, "ecr", "DescribeImages", wanted)
        found: str = answer["imageDetails"][0]["imageDigest"]
    except (ServiceCallError, LookupError) as error:
        raise InvalidParameterValueException(
            f"Source image {uri} does not exist. Provide a valid source image."
        ) from error
    return found.removeprefix("sha256:")
