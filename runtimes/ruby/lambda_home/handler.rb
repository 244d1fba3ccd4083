# frozen_string_literal: true

# The function's handler. A method that stands outside of all classes runs with this object as `self`, as it
# does on AWS: messages of NoMethodError name it.
class LambdaHandler
  attr_reader :handler_file_name, :handler_method_name

  # `FILE.METHOD` or `FILE.CLASS.METHOD`; ArgumentError for anything else, in AWS's words.
  def initialize(env_handler:)
    parts = env_handler.split('.')
    case parts.size
    when 2 then @handler_file_name, @handler_method_name = parts
    when 3 then @handler_file_name, @handler_class, @handler_method_name = parts
    else
      raise ArgumentError,
            "Invalid handler #{parts}, must be of form FILENAME.METHOD or FILENAME.CLASS.METHOD where FILENAME " \
            'corresponds with an existing Ruby source file FILENAME.rb, CLASS is an optional module/class ' \
            'namespace and METHOD is a callable method. If using CLASS, METHOD must be a class-level method.'
    end
  end

  # What the handler returns, ready to be sent: [body, content type]. Raises LambdaHome::Failure::Raised.
  def call_handler(request:, context:)
    arguments = { event: request, context: context }
    result =
      if @handler_class
        Kernel.const_get(@handler_class).send(@handler_method_name, **arguments)
      else
        __send__(@handler_method_name, **arguments)
      end
    AwsLambda::Marshaller.marshall_response(result)
  rescue LambdaHome::Client::ServerGone
    raise
  rescue Exception => error # rubocop:disable Lint/RescueException
    raise LambdaHome::Failure::Raised, LambdaHome::Failure.new(error, 'Function')
  end
end
