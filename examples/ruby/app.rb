# frozen_string_literal: true

# Counts the words of a text; deploy it with `lambda-home deploy examples/ruby`.
# {"text": "to be or not to be", "most": 2}
def handler(event:, context:)
  words = event.fetch('text').downcase.scan(/[[:alpha:]]+/)
  puts "#{words.size} words for #{context.aws_request_id}"
  most = words.tally.sort_by { |word, count| [-count, word] }.first(event.fetch('most', 10))
  { words: words.size, different: words.uniq.size, most: most.to_h }
end
