"""FastAPI's "Bigger Applications": routers with prefixes, tags and dependencies, in one file."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException


async def get_token_header(x_token: Annotated[str, Header()]) -> None:
    if x_token != "fake-super-secret-token":
        raise HTTPException(status_code=400, detail="X-Token header invalid")


async def get_query_token(token: str = "jessica") -> None:
    if token != "jessica":
        raise HTTPException(status_code=400, detail="No Jessica token provided")


users = APIRouter()
items = APIRouter(prefix="/items", tags=["items"], dependencies=[Depends(get_token_header)])
admin = APIRouter()


@users.get("/users/", tags=["users"])
async def read_users() -> list[dict[str, str]]:
    return [{"username": "Rick"}, {"username": "Morty"}]


@users.get("/users/me", tags=["users"])
async def read_user_me() -> dict[str, str]:
    return {"username": "fakecurrentuser"}


@users.get("/users/{username}", tags=["users"])
async def read_user(username: str) -> dict[str, str]:
    return {"username": username}


@items.get("/")
async def read_items() -> dict[str, str]:
    return {"plumbus": "Plumbus"}


@items.put("/{item_id}", tags=["custom"], responses={403: {"description": "Forbidden"}})
async def update_item(item_id: str) -> dict[str, str]:
    raise HTTPException(status_code=403, detail="You can only update the item: plumbus")


@admin.post("/")
async def update_admin() -> dict[str, str]:
    return {"message": "Admin getting schwifty"}


app = FastAPI(dependencies=[Depends(get_query_token)])
app.include_router(users)
app.include_router(items)
app.include_router(admin, prefix="/admin", tags=["admin"], dependencies=[Depends(get_token_header)])


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello Bigger Applications!"}
