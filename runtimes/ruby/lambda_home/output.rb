# frozen_string_literal: true

module LambdaHome
  # What the function writes, and the fences that mark the end of a request's part.
  #
  # Nothing is held back: a process that is killed has written all. A function that closes or replaces its
  # streams does not reach the runtime's own, on which fences are written.
  class Output
    # Notices writes to a stream.
    module Noticed
      attr_writer :lambda_home_output

      %i[write syswrite write_nonblock].each do |name|
        define_method(name) do |*arguments, **options|
          @lambda_home_output&.dirty = true
          super(*arguments, **options)
        end
      end
    end

    attr_writer :dirty

    def initialize
      @own = STDOUT.dup
      @own.sync = true
      @dirty = false
      @children_s = 0
      [STDOUT, STDERR].each do |stream|
        stream.sync = true
        stream.singleton_class.prepend(Noticed)
        stream.lambda_home_output = self
      end
    end

    # Marks the end of a request's output if there was any; 1 if there was, else 0. A child process that has
    # ended counts as output.
    def fence(request_id)
      times = Process.times
      children_s = times.cutime + times.cstime
      return 0 unless @dirty || children_s != @children_s

      @children_s = children_s
      @dirty = false
      @own.write("\x1eFENCE #{request_id}\x1e\n")
      1
    rescue SystemCallError, IOError
      0
    end

    # The peak resident memory of this process.
    def peak_kib
      File.read('/proc/self/status', 4096)[/^VmHWM:\s*(\d+)/, 1].to_i
    rescue SystemCallError
      0
    end
  end
end
