# frozen_string_literal: true

# The conformance suite's function: does what the event says.
raise ArgumentError, 'broken: ü' if ENV['BROKEN']

$calls = 0

def about(context)
  client = context.client_context
  {
    id: context.aws_request_id, arn: context.invoked_function_arn, name: context.function_name,
    version: context.function_version, memory: context.memory_limit_in_mb.to_i, group: context.log_group_name,
    stream: context.log_stream_name, left: context.get_remaining_time_in_millis,
    custom: client && client['custom'], identity: context.identity && context.identity['cognitoIdentityId']
  }
end

def log
  puts 'out ü'
  warn 'err ü'
end

def library
  require 'conformance_layer'
  CONFORMANCE_TEXT
end

def handler(event:, context:)
  $calls += 1
  case event['do']
  when 'context' then about(context)
  when 'environment' then ENV.to_h
  when 'fail' then raise ArgumentError, 'as asked: ü'
  when 'log' then log
  when 'library' then library
  when 'sleep' then sleep 60
  when 'exit' then exit! 3
  when 'read' then File.read(event['value'])
  when 'calls' then $calls
  else event['value']
  end
end
