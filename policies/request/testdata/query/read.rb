# What Rack reads of the query on each line of the input; "an error" where it refuses it.
require 'json'
require 'rack'
STDIN.each_line(chomp: true) do |query|
  read = begin
    Rack::Utils.parse_nested_query(query)['owner']
  rescue StandardError
    'an error'
  end
  puts JSON.generate([query, 'Rack', read])
end
