//! The proxy, with clients and servers of its own.
