# frozen_string_literal: true

require 'socket'

module LambdaHome
  # One invocation as the runtime API gives it; `[]` reads a header, as of Net::HTTPResponse.
  class Invocation
    attr_reader :body

    def initialize(headers, body)
      @headers = headers
      @body = body
    end

    def [](name)
      @headers[name.downcase]
    end

    def request_id
      self['Lambda-Runtime-Aws-Request-Id']
    end
  end

  # The runtime API over one connection. An answer and the request for the next invocation leave in one
  # write; replies come in that order.
  class Client
    # The runtime API cannot be reached, or refuses this environment.
    class ServerGone < Exception # rubocop:disable Lint/InheritException
    end

    PREFIX = '/2018-06-01/runtime/'

    def initialize(address, output)
      @address = address
      @output = output
      @next = head('GET', 'invocation/next')
    end

    def connect
      host, _, port = @address.rpartition(':')
      @socket&.close
      @socket = TCPSocket.new(host.delete('[]'), port.to_i)
      @socket.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
      @socket.binmode
      @pid = Process.pid
    rescue SystemCallError, SocketError
      raise ServerGone
    end

    # Waits for the first invocation. Reconnects once.
    def next(init_micros = nil)
      told = ''
      told = "Lambda-Home-Init-Micros: #{init_micros}\r\nLambda-Home-Fence: #{@output.fence('init')}\r\n" if init_micros
      again do
        @socket.write(@next, told, "\r\n")
        invocation(*read)
      end
    end

    # Sends a response (with an error type: an error) and waits for the next invocation.
    def answer_and_next(request_id, type, body, error_type = nil)
      # A child forked by the handler came back from it: the answer is its parent's.
      exit!(0) if Process.pid != @pid
      request = answering(request_id, type, body, error_type)
      answered = false
      begin
        @socket.write(request, @next, "\r\n")
        read
        answered = true
        return invocation(*read)
      rescue SystemCallError, IOError
        connect
      end
      again { send(request) } unless answered
      self.next
    end

    # Sends a response or an error, and nothing after it.
    def answer(request_id, type, body, error_type = nil)
      exit!(0) if Process.pid != @pid
      request = answering(request_id, type, body, error_type)
      again { send(request) }
    end

    def report_init_error(error_type, body)
      connect if Process.pid != @pid
      request = post('init/error', 'init', 'application/json', body, error_type)
      again { send(request) }
    end

    # A spare environment waits for the variables of the function that it becomes. `sees` are the names in
    # the task root, by which the server knows that code can be put there.
    def wait_for_function(sees)
      @socket.write(head('GET', 'lambda-home/function'), "Lambda-Home-Sees: #{sees.join(',')[0, 1000]}\r\n\r\n")
      status, _, body = read
      raise ServerGone unless status == 200

      JSON.parse(body)['environment']
    rescue SystemCallError, IOError
      raise ServerGone
    end

    private

    def again
      yield
    rescue SystemCallError, IOError
      connect
      begin
        yield
      rescue SystemCallError, IOError
        raise ServerGone
      end
    end

    def send(request)
      @socket.write(request)
      read
    end

    def head(method, path)
      "#{method} #{PREFIX}#{path} HTTP/1.1\r\nHost: #{@address}\r\n"
    end

    def answering(request_id, type, body, error_type)
      post("invocation/#{request_id}/#{error_type ? 'error' : 'response'}", request_id, type, body, error_type)
    end

    def post(path, fence_id, type, body, error_type)
      text = +head('POST', path)
      text << "Content-Type: #{type}\r\nContent-Length: #{body.bytesize}\r\n"
      text << "Lambda-Runtime-Function-Error-Type: #{error_type.gsub(/[^ -~]/, '?')}\r\n" if error_type
      text << "Lambda-Home-Fence: #{@output.fence(fence_id)}\r\nLambda-Home-Peak-Kib: #{@output.peak_kib}\r\n\r\n"
      text.force_encoding(Encoding::BINARY) << body.b
    end

    def invocation(status, headers, body)
      raise ServerGone unless status == 200

      Invocation.new(headers, body)
    end

    # One HTTP answer: status, headers, body.
    def read
      status = 100
      status, headers = read_head while status < 200
      return [status, headers, read_chunks.force_encoding(Encoding::UTF_8)] if headers['transfer-encoding']

      [status, headers, exactly(headers['content-length'].to_i).force_encoding(Encoding::UTF_8)]
    end

    def read_head
      status = line[9, 3].to_i
      headers = {}
      until (text = line).empty?
        name, _, value = text.partition(':')
        headers[name.downcase] = value.strip.force_encoding(Encoding::UTF_8)
      end
      [status, headers]
    end

    def line
      @socket.gets("\r\n", chomp: true) || raise(EOFError)
    end

    def exactly(size)
      data = size.zero? ? +'' : @socket.read(size)
      raise EOFError if data.nil? || data.bytesize < size

      data
    end

    def read_chunks
      body = +''.b
      until (size = line.to_i(16)).zero?
        body << exactly(size)
        line
      end
      nil until line.empty?
      body
    end
  end
end
