# frozen_string_literal: true

module LambdaHome
  # What went wrong, described as AWS's runtime describes it. `critical`: the process ends, because what is
  # missing now will be missing next time, too.
  class Failure
    # Carries a failure out of the handler.
    class Raised < StandardError
      attr_reader :failure

      def initialize(failure)
        super('the handler failed')
        @failure = failure
      end
    end

    # Types that are told as they are, in the header that metrics are made of.
    TOLD = %w[
      ArgumentError NoMethodError Exception StandardError NameError LoadError SystemExit SystemStackError
    ].freeze
    LONGEST_TRACE = 100
    OWN_FILES = "#{File.dirname(__dir__)}/"

    attr_reader :critical

    def initialize(error, phase)
      @phase = phase
      @class = error.class.to_s
      @critical = !error.is_a?(StandardError) || error.is_a?(NameError)
      @document = {
        errorMessage: text(message_of(error)),
        errorType: "#{phase}<#{@class}>",
        stackTrace: trace(error).map { |line| text(line) }
      }
    end

    def reported_type
      TOLD.include?(@class) ? @document[:errorType] : 'Function<UserException>'
    end

    def body
      JSON.generate(@document)
    end

    def log(title)
      puts(title, JSON.pretty_generate(@document))
    end

    private

    # Up to Ruby 3.1 messages come with suggestions, which AWS's runtimes (3.2 and later) do not have.
    def message_of(error)
      return Exception.instance_method(:to_s).bind(error).call if suggested?(error)

      error.message
    rescue StandardError
      "<unprintable #{@class} object>"
    end

    def suggested?(error)
      RUBY_VERSION < '3.2' && [NameError, NoMethodError, KeyError, LoadError].include?(error.class)
    end

    # Innermost first, without our own frames.
    def trace(error)
      lines = (error.backtrace_locations || []).first(LONGEST_TRACE).map(&:to_s)
      lines.reject { |line| line.start_with?(OWN_FILES) }
    end

    def text(value)
      value = value.to_s
      known = value.dup.force_encoding(Encoding::UTF_8)
      return known if known.valid_encoding?

      value.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub
    end
  end
end
