"""Who a rendered person is: looks, clothes, pose and what is carried."""
