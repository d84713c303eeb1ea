"""Whether the ports of a cluster let somebody in."""

from distributed.comm import connect as connect_to


async def lets_in(address, security):
    """Return whether an address accepts a connection and shakes hands."""
    try:
        comm = await connect_to(address, timeout=3, **security.get_connection_args("client"))
        await comm.close()
    except (TimeoutError, OSError, TypeError):
        return False
    return True
