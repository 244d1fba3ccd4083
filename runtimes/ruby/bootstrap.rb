# frozen_string_literal: true

# Entry point of the Ruby runtime: connects to the runtime API, loads the function's handler and serves
# invocations. Runs on Ruby 2.7 and later with nothing but the standard library.

lambda_home_started = Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond)

# Until the function's code is loaded, its folders hide nothing of the standard library.
lambda_home_libraries = ENV.fetch('RUBYLIB', '').split(':').reject(&:empty?)
$LOAD_PATH.reject! { |path| lambda_home_libraries.include?(path) }

# AWS's runtime has loaded these, and functions use them without asking.
require 'json'
require 'logger'
require 'stringio'
require 'time'

require_relative 'lambda_home/output'
require_relative 'lambda_home/client'
require_relative 'lambda_home/logging'
require_relative 'lambda_home/marshaller'
require_relative 'lambda_home/context'
require_relative 'lambda_home/failure'
require_relative 'lambda_home/handler'

# These, too, but they take 30 ms.
autoload :Net, 'net/http'
autoload :URI, 'uri'

# What belongs to the runtime.
module LambdaHome
  # An environment: from the connection to the last invocation.
  class Runtime
    SPARE = '_LAMBDA_HOME_SPARE'
    # AWS's exit codes: the function could not be loaded; it failed in a way that ends the process.
    INIT_FAILED = -4
    CRITICAL = -1

    def initialize(started, libraries)
      @started = started
      @libraries = libraries
      @output = Output.new
      @client = Client.new(ENV.fetch('AWS_LAMBDA_RUNTIME_API'), @output)
    end

    def run
      settle_encoding
      @client.connect
      become if ENV[SPARE]
      exit(serve(load_function))
    rescue Client::ServerGone
      # At once: threads of the function must not hold back an environment that nobody can reach.
      exit!(1)
    rescue SignalException
      # As AWS's client: asked to end while it waits.
      exit(0)
    end

    private

    def settle_encoding
      ENV.delete('LC_CTYPE') if ENV.delete('_LAMBDA_HOME_CTYPE')
      return unless Encoding.default_external == Encoding::US_ASCII && /utf-?8/i.match?(ENV.fetch('LANG', ''))

      Encoding.default_external = Encoding::UTF_8
    end

    # A spare environment waits for its function: takes over its variables, and the time when it came.
    def become
      require 'net/http'
      variables = @client.wait_for_function(Dir.children(ENV.fetch('LAMBDA_TASK_ROOT')))
      @started = Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond)
      ENV.delete(SPARE)
      ENV.update(variables)
      Gem.clear_paths if defined?(Gem)
    end

    # The handler; never returns where it cannot be loaded.
    def load_function
      name = ENV.fetch('_HANDLER', '')
      Logging.configure(ENV)
      enter(ENV.fetch('LAMBDA_TASK_ROOT', '/var/task'))
      handler = LambdaHandler.new(env_handler: name)
      require handler.handler_file_name
      handler
    rescue Client::ServerGone
      raise
    rescue Exception => error # rubocop:disable Lint/RescueException
      failure = Failure.new(error, 'Init')
      failure.log("Init error when loading handler #{name}")
      @client.report_init_error(failure.reported_type, failure.body)
      exit(INIT_FAILED)
    end

    def enter(root)
      $LOAD_PATH.unshift(*@libraries)
      $LOAD_PATH.unshift(root) unless $LOAD_PATH.include?(root)
      Dir.chdir(root) if Dir.exist?(root)
      find_gems_of_stand_in(root)
    end

    # Packages that were built here have their gems where this Ruby puts them, not where the runtime's does.
    def find_gems_of_stand_in(root)
      series = RbConfig::CONFIG['ruby_version']
      opt = ENV.delete('_LAMBDA_HOME_OPT') || '/opt'
      known = ENV.fetch('GEM_PATH', '').split(':')
      more = ["#{root}/vendor/bundle/ruby/#{series}", "#{opt}/ruby/gems/#{series}"]
      known.each { |path| more << path.sub('/var/task', root) if path.start_with?('/var/task/') }
      more = (more - known).select { |path| File.directory?(path) }
      return if more.empty?

      ENV['GEM_PATH'] = [*known, *more].join(':')
      Gem.clear_paths if defined?(Gem)
    end

    # Answers invocations for ever; an exit code where the function has ended the process.
    def serve(handler)
      invocation = @client.next(Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond) - @started)
      loop do
        failure, answer = answer_to(invocation, handler)
        request_id = invocation.request_id
        invocation = nil
        if failure&.critical
          @client.answer(request_id, *answer)
          return CRITICAL
        end
        invocation = @client.answer_and_next(request_id, *answer)
      end
    end

    def answer_to(invocation, handler)
      announce(invocation)
      event = AwsLambda::Marshaller.marshall_request(invocation)
      body, type = handler.call_handler(request: event, context: LambdaContext.new(invocation))
      body = body.read if type == 'application/unknown'
      [nil, [type || 'application/json', body.to_s]]
    rescue Failure::Raised => raised
      failure = raised.failure
      failure.log(failure.critical ? 'Critical exception from handler' : 'Error raised from handler method')
      [failure, ['application/json', failure.body, failure.reported_type]]
    rescue StandardError => error
      failure = Failure.new(error, 'Runtime')
      failure.log('Error of the runtime')
      [failure, ['application/json', failure.body, failure.reported_type]]
    end

    def announce(invocation)
      $_global_aws_request_id = invocation.request_id # rubocop:disable Style/GlobalVars
      ENV['_X_AMZN_TRACE_ID'] = invocation['Lambda-Runtime-Trace-Id']
    end
  end
end

LambdaHome::Runtime.new(lambda_home_started, lambda_home_libraries).run
