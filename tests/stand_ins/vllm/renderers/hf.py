def resolve_chat_template(**_):
    return None
