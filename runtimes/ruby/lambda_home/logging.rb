# frozen_string_literal: true

module LambdaHome
  # Loggers that write to the function's log: AWS's format, with the request's id, and the function's logging
  # settings (AWS_LAMBDA_LOG_FORMAT, AWS_LAMBDA_LOG_LEVEL).
  module Logging
    LEVELS = { 'TRACE' => 0, 'DEBUG' => 0, 'INFO' => 1, 'WARN' => 2, 'ERROR' => 3, 'FATAL' => 4 }.freeze

    @formatter = nil
    @level = Logger::DEBUG

    class << self
      attr_reader :formatter, :level

      def configure(environment)
        json = environment['AWS_LAMBDA_LOG_FORMAT'].to_s.casecmp?('JSON')
        @formatter = json ? JsonFormatter : TextFormatter
        @level = LEVELS.fetch(environment['AWS_LAMBDA_LOG_LEVEL'].to_s.upcase, Logger::DEBUG)
      end
    end

    # Logger.new with our formatter and level, where the function names none.
    module Defaults
      def initialize(logdev, *arguments, **options)
        if Logging.formatter && (logdev.equal?($stdout) || logdev.equal?($stderr))
          options = { level: Logging.level, **options }
          options[:formatter] ||= Logging.formatter.new
        end
        super(logdev, *arguments, **options)
      end
    end

    # As Ruby's own, with the request's id before the program's name.
    class TextFormatter < Logger::Formatter
      def call(severity, time, progname, msg)
        request_id = $_global_aws_request_id # rubocop:disable Style/GlobalVars
        format("%s, [%s #%d] %5s %s -- %s: %s\n", severity[0], format_datetime(time), Process.pid, severity,
               request_id, progname, Logging.text(msg2str(msg)))
      end
    end

    # One JSON document a line.
    class JsonFormatter < Logger::Formatter
      def call(severity, time, progname, msg)
        error = msg.is_a?(Exception) ? msg : nil
        line = {
          timestamp: time.utc.strftime('%Y-%m-%dT%H:%M:%S.%6NZ'),
          level: severity,
          message: Logging.text(error ? error.message : msg2str(msg)),
          requestId: $_global_aws_request_id, # rubocop:disable Style/GlobalVars
          logger: progname && !progname.to_s.empty? ? Logging.text(progname) : nil
        }
        line.update(described(error)) if error
        "#{JSON.generate(line.compact)}\n"
      end

      private

      def described(error)
        trace = (error.backtrace || []).map { |entry| Logging.text(entry) }
        place = /\A(.+):(\d+):in [`'](.+)'\z/.match(trace.first.to_s)
        {
          errorType: error.class.to_s,
          errorMessage: Logging.text(error.message),
          stackTrace: trace,
          location: place ? "#{place[1]}:#{place[3]}:#{place[2]}" : trace.first
        }
      end
    end

    def self.text(value)
      value.to_s.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub
    end
  end
end

Logger.prepend(LambdaHome::Logging::Defaults)
