# frozen_string_literal: true

module AwsLambda
  # What an invocation's body is for the handler, and its result for the caller. Functions may replace both
  # methods, as in AWS's runtime.
  class Marshaller
    class << self
      # JSON as what it means; anything else as it came.
      def marshall_request(raw_request)
        return raw_request.body unless raw_request['Content-Type'] == 'application/json'

        JSON.parse(raw_request.body)
      end

      # Streams are sent as they are: [stream, content type]. All else becomes JSON.
      def marshall_response(method_response)
        case method_response
        when StringIO, IO then [method_response, 'application/unknown']
        else method_response.to_json
        end
      end
    end
  end
end
