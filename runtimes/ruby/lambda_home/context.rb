# frozen_string_literal: true

# What a handler gets as `context`.
# https://docs.aws.amazon.com/lambda/latest/dg/ruby-context.html
class LambdaContext
  # The fields of W3C Trace Context and Baggage that a caller may hand over in the client context.
  W3C_FIELDS = %w[traceparent tracestate baggage].freeze

  attr_reader :aws_request_id, :invoked_function_arn, :log_group_name, :log_stream_name, :function_name,
              :memory_limit_in_mb, :function_version, :identity, :client_context, :deadline_ms, :tenant_id

  def initialize(request)
    @deadline_ms = request['Lambda-Runtime-Deadline-Ms'].to_i
    @aws_request_id = request['Lambda-Runtime-Aws-Request-Id']
    @invoked_function_arn = request['Lambda-Runtime-Invoked-Function-Arn']
    @tenant_id = request['Lambda-Runtime-Aws-Tenant-Id']
    @log_group_name = ENV['AWS_LAMBDA_LOG_GROUP_NAME']
    @log_stream_name = ENV['AWS_LAMBDA_LOG_STREAM_NAME']
    @function_name = ENV['AWS_LAMBDA_FUNCTION_NAME']
    @memory_limit_in_mb = ENV['AWS_LAMBDA_FUNCTION_MEMORY_SIZE']
    @function_version = ENV['AWS_LAMBDA_FUNCTION_VERSION']
    @identity = document(request['Lambda-Runtime-Cognito-Identity'])
    @client_context = document(request['Lambda-Runtime-Client-Context'])
    given = @client_context.is_a?(Hash) ? @client_context.delete('w3c') : nil
    @w3c = given.is_a?(Hash) ? given.slice(*W3C_FIELDS).select { |_, value| value.is_a?(String) } : {}
  end

  # Milliseconds until the invocation times out, never below 0.
  def get_remaining_time_in_millis # rubocop:disable Naming/AccessorMethodName
    [@deadline_ms - Process.clock_gettime(Process::CLOCK_REALTIME, :millisecond), 0].max
  end

  # The W3C trace context of the invocation.
  def w3c
    @w3c.transform_values(&:dup)
  end

  private

  def document(text)
    JSON.parse(text) unless text.nil? || text.empty?
  end
end
