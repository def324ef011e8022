"""What `relayd demo` shows: a simulated exchange, the relay before it, and a page that draws what arrives."""
