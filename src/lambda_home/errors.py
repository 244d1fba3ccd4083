"""Errors that a client sees, in AWS Lambda's shapes.

Layers below the user API raise these; only `user_api` knows how they look on the wire.
The class name is AWS's error code, as botocore's model and `x-amzn-ErrorType` spell it.

    LambdaHomeError                      anything this project raises on purpose
    ├── ConfigurationError               a setting is wrong; stops the start with one line
    └── ApiError                         has an AWS code, an HTTP status and a message
        ├── ValidationException          400  the request breaks the model's constraints
        ├── InvalidParameterValueException   400
        ├── InvalidParameterException    400  CloudWatch Logs' form of a wrong parameter
        ├── InvalidOperationException    400  CloudWatch Logs: not in this state of things
        ├── ResourceAlreadyExistsException   400
        ├── LimitExceededException       400
        ├── TooManyTagsException         400
        ├── InvalidRequestContentException   400  the invoke payload is not JSON
        ├── RecursiveInvocationException 400  a function came up in a loop too often
        ├── SnapStartException           400  a hook after SnapStart's restore failed
        ├── SnapStartTimeoutException    408  SnapStart's restore took too long
        ├── SnapStartNotReadyException   409  SnapStart's first init goes on
        ├── SerializationException       400  the body is not the JSON object it must be
        ├── ResourceInUseException       400  a change of the resource is going on
        ├── CodeStorageExceededException 400
        ├── CapacityProviderLimitExceededException  400
        ├── FunctionVersionsPerCapacityProviderLimitExceededException  400
        ├── PolicyLengthExceededException 400
        ├── AccessDeniedException        403
        ├── MissingAuthenticationTokenException  403  nobody says who they are
        ├── IncompleteSignatureException 403  a signature lacks something, or is not understood
        ├── InvalidSignatureException    403  a signature is wrong, or not of now
        ├── ExpiredTokenException        403  temporary credentials that are no longer good
        ├── UnrecognizedClientException  403  credentials that nobody knows
        ├── UnknownOperationException    404  no operation has this path
        ├── ResourceNotFoundException    404
        ├── ProvisionedConcurrencyConfigNotFoundException  404
        ├── CodeSigningConfigNotFoundException  404
        ├── ResourceConflictException    409
        ├── PreconditionFailedException  412
        ├── RequestTooLargeException     413  the payload is over the limit of the invocation type
        ├── RequestEntityTooLargeException  413  the whole request is over the limit
        ├── TooManyRequestsException     429  carries a Reason
        ├── InvalidRuntimeException      502  nothing here runs the function's runtime
        ├── KMSInvalidStateException     502  a secret cannot be decrypted
        ├── KMSNotFoundException         502  a variable refers to a secret that does not exist
        ├── ServiceException             500  the platform failed, not the caller
        ├── NotImplementedException      501  an operation of the model without handler
        └── ServiceUnavailableException  503  shutting down

Source: botocore's `lambda/2015-03-31` model and answers recorded on AWS.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class LambdaHomeError(Exception):
    """Anything this project raises on purpose."""


class ConfigurationError(LambdaHomeError):
    """A setting is unknown or has a bad value; the message is one line that names it."""


class ThrottleReason(StrEnum):
    """Why a 429 was answered (`Reason` of TooManyRequestsException)."""

    CONCURRENT = "ConcurrentInvocationLimitExceeded"
    RATE = "FunctionInvocationRateLimitExceeded"
    RESERVED_CONCURRENT = "ReservedFunctionConcurrentInvocationLimitExceeded"
    RESERVED_RATE = "ReservedFunctionInvocationRateLimitExceeded"
    CALLER_RATE = "CallerRateLimitExceeded"


class ApiError(LambdaHomeError):
    """An error with an AWS code.

    `message` may be None (AWS answers some errors with `{"message": null}`). `fault_type` is the
    body's `Type` member ("User" or "Service"), or None where AWS sends none. `message_member` is
    the body member that carries the text: AWS spells it `Message` for some codes.
    """

    status: ClassVar[int] = 500
    default_fault: ClassVar[str | None] = "User"
    message_member: ClassVar[str] = "message"

    def __init__(self, message: str | None = None, *, fault_type: str | None = "unset") -> None:
        super().__init__(message)
        self.message = message
        self.fault_type = self.default_fault if fault_type == "unset" else fault_type

    @property
    def code(self) -> str:
        """AWS's error code, the value of `x-amzn-ErrorType`."""
        return type(self).__name__

    def body(self) -> dict[str, object]:
        """The members of the JSON error body, in AWS's spelling and order."""
        members: dict[str, object] = {}
        if self.fault_type is not None:
            members["Type"] = self.fault_type
        members[self.message_member] = self.message
        return members


class ValidationException(ApiError):
    """The request breaks constraints of the model; AWS sends no `Type`."""

    status = 400
    default_fault: ClassVar[str | None] = None


class InvalidParameterValueException(ApiError):
    """One of the parameters is not valid."""

    status = 400


class InvalidParameterException(ApiError):
    """One of the parameters is not valid (CloudWatch Logs)."""

    status = 400


class InvalidOperationException(ApiError):
    """The operation is not valid for the resource as it is (CloudWatch Logs)."""

    status = 400


class ResourceAlreadyExistsException(ApiError):
    """The resource exists already (CloudWatch Logs)."""

    status = 400


class LimitExceededException(ApiError):
    """There are as many resources of this kind as there may be (CloudWatch Logs)."""

    status = 400


class TooManyTagsException(ApiError):
    """The resource would have more than 50 tags (CloudWatch Logs)."""

    status = 400


class InvalidRequestContentException(ApiError):
    """The invoke payload could not be parsed as JSON."""

    status = 400


class RecursiveInvocationException(ApiError):
    """The function was invoked in a recursive loop, and is stopped."""

    status = 400
    message_member = "Message"


class SnapStartException(ApiError):
    """A hook after SnapStart's restore failed."""

    status = 400
    message_member = "Message"


class SnapStartTimeoutException(ApiError):
    """SnapStart's restore took too long."""

    status = 408
    message_member = "Message"


class SnapStartNotReadyException(ApiError):
    """SnapStart's first init goes on."""

    status = 409
    message_member = "Message"


class SerializationException(ApiError):
    """The request body is not the JSON document that the operation needs."""

    status = 400
    default_fault: ClassVar[str | None] = None
    message_member = "Message"


class ResourceInUseException(ApiError):
    """A change of the resource is going on, which has to end first."""

    status = 400
    message_member = "Message"


class CodeStorageExceededException(ApiError):
    """The account's total code size is used up."""

    status = 400


class PolicyLengthExceededException(ApiError):
    """A resource-based policy is over the limit."""

    status = 400


class CapacityProviderLimitExceededException(ApiError):
    """The account has as many capacity providers as it may have."""

    status = 400


class FunctionVersionsPerCapacityProviderLimitExceededException(ApiError):
    """The capacity provider has as many function versions as it may have."""

    status = 400


class AccessDeniedException(ApiError):
    """The caller may not do this."""

    status = 403
    default_fault: ClassVar[str | None] = None
    message_member = "Message"


class ExpiredTokenException(ApiError):
    """The temporary credentials are no longer good."""

    status = 403
    default_fault: ClassVar[str | None] = None


class UnrecognizedClientException(ApiError):
    """The access key or the session token is not known."""

    status = 403
    default_fault: ClassVar[str | None] = None


class MissingAuthenticationTokenException(ApiError):
    """The request does not say who sends it."""

    status = 403
    default_fault: ClassVar[str | None] = None


class IncompleteSignatureException(ApiError):
    """The signature lacks something, or is not of a form that is understood."""

    status = 403
    default_fault: ClassVar[str | None] = None


class InvalidSignatureException(ApiError):
    """The signature is not that of this request, or not of now."""

    status = 403
    default_fault: ClassVar[str | None] = None


class UnknownOperationException(ApiError):
    """No operation of the API has this method and path."""

    status = 404
    default_fault: ClassVar[str | None] = None


class ResourceNotFoundException(ApiError):
    """The resource does not exist."""

    status = 404
    message_member = "Message"


class ProvisionedConcurrencyConfigNotFoundException(ApiError):
    """No provisioned concurrency is configured there."""

    status = 404


class CodeSigningConfigNotFoundException(ApiError):
    """The code signing configuration that a function shall use does not exist."""

    status = 404
    message_member = "Message"


class ResourceConflictException(ApiError):
    """The resource exists already, or another operation is in progress."""

    status = 409


class PreconditionFailedException(ApiError):
    """The RevisionId given is not the current one."""

    status = 412


class RequestTooLargeException(ApiError):
    """The invoke payload is over the limit of its invocation type."""

    status = 413


class RequestEntityTooLargeException(ApiError):
    """The request as a whole is over the limit."""

    status = 413
    default_fault: ClassVar[str | None] = None


class TooManyRequestsException(ApiError):
    """Throttled; `reason` says by which limit, `retry_after_s` when to come back (seconds)."""

    status = 429

    def __init__(
        self, reason: ThrottleReason, message: str = "Rate Exceeded.", *, retry_after_s: int = 1
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, object]:
        """`Reason` comes first, as AWS writes it."""
        return {"Reason": str(self.reason), **super().body()}


class ServiceException(ApiError):
    """The platform failed; not the caller's fault."""

    status = 500
    default_fault: ClassVar[str | None] = "Service"
    message_member = "Message"


class InvalidRuntimeException(ApiError):
    """Nothing here runs the function's runtime; the message says what to install."""

    status = 502
    default_fault: ClassVar[str | None] = "Service"
    message_member = "Message"


class KMSInvalidStateException(ApiError):
    """The environment variables cannot be decrypted with the key that there is."""

    status = 502
    default_fault: ClassVar[str | None] = "Service"
    message_member = "Message"


class KMSNotFoundException(ApiError):
    """The environment variables refer to a secret that does not exist."""

    status = 502
    default_fault: ClassVar[str | None] = "Service"
    message_member = "Message"


class NotImplementedException(ApiError):
    """An operation of AWS's model that this version does not perform."""

    status = 501
    default_fault: ClassVar[str | None] = None


class ServiceUnavailableException(ApiError):
    """The server is shutting down and takes no more work."""

    status = 503
    default_fault: ClassVar[str | None] = "Service"
    message_member = "Message"
